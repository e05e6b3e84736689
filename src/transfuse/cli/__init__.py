"""The command line. Read `app.py` first."""

from transfuse.cli.app import main

__all__ = ["main"]
