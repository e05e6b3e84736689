"""Models that answer over HTTP, many requests at a time.

Read `app.py` first.
"""

from transfuse.serving.app import create_app
from transfuse.serving.batcher import Batcher, FullError, StoppedError
from transfuse.serving.options import Serving
from transfuse.serving.server import serve
from transfuse.serving.service import Service

__all__ = ["Batcher", "FullError", "Service", "Serving", "StoppedError", "create_app", "serve"]
