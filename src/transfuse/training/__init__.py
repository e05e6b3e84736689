"""The one loop, and what it stands on.

Read `loop.py` first.
"""

from transfuse.training.callbacks import Callback, StepReport
from transfuse.training.engines import Engines
from transfuse.training.job import Criterion, Job, StreamData
from transfuse.training.loop import Fitted, fit
from transfuse.training.options import Training
from transfuse.training.runtime import alone, writes
from transfuse.training.selection import choice_told
from transfuse.training.step import TrainModule, streams_of
from transfuse.training.teachers import Teacher, answer, open_teacher

__all__ = [
    "Callback",
    "Criterion",
    "Engines",
    "Fitted",
    "Job",
    "StepReport",
    "StreamData",
    "Teacher",
    "TrainModule",
    "Training",
    "alone",
    "answer",
    "choice_told",
    "fit",
    "open_teacher",
    "streams_of",
    "writes",
]
