"""The one loop, and what it stands on.

Read `loop.py` first.
"""

from transfuse.training.callbacks import Callback, StepReport
from transfuse.training.job import Criterion, Job, StreamData
from transfuse.training.loop import Fitted, fit
from transfuse.training.options import Training
from transfuse.training.runtime import alone, writes
from transfuse.training.selection import choice_told
from transfuse.training.step import TrainModule, streams_of

__all__ = [
    "Callback",
    "Criterion",
    "Fitted",
    "Job",
    "StepReport",
    "StreamData",
    "TrainModule",
    "Training",
    "alone",
    "choice_told",
    "fit",
    "streams_of",
    "writes",
]
