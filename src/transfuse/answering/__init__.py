"""Models that answer: what a run leaves, opened again.

Read `folder.py` first.
"""

from transfuse.answering.base import Answerer, Kept, Member, Open
from transfuse.answering.classical import ClassicalModel, Tfidf
from transfuse.answering.entailment import EntailmentModel
from transfuse.answering.folder import (
    ModelFolder,
    load_model,
    model_bytes,
    rewrite_scorecard,
    write_folder,
)
from transfuse.answering.stage import Evidence, Made, Stage, Tell

__all__ = [
    "Answerer",
    "ClassicalModel",
    "EntailmentModel",
    "Evidence",
    "Kept",
    "Made",
    "Member",
    "ModelFolder",
    "Open",
    "Stage",
    "Tell",
    "Tfidf",
    "load_model",
    "model_bytes",
    "rewrite_scorecard",
    "write_folder",
]
