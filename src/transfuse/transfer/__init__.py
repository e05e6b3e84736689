"""One recipe to one model, measured and kept.

Read `run.py` first.
"""

from transfuse.training import Engines
from transfuse.transfer.after import THEN
from transfuse.transfer.choices import (
    MODELS,
    Folders,
    Narrow,
    Neural,
    Pretrained,
    Static,
    TableChoice,
    Tfidf,
)
from transfuse.transfer.domains import Domain, Prepared
from transfuse.transfer.folder import save_model
from transfuse.transfer.plan import Plan
from transfuse.transfer.prepared import prepare
from transfuse.transfer.reading import read_plan
from transfuse.transfer.run import DELTA, Outcome
from transfuse.transfer.search import run_plan
from transfuse.transfer.single import Result, transfer
from transfuse.transfer.stages import STAGES
from transfuse.transfer.tables import load_table
from transfuse.transfer.workspace import Workspace

__all__ = [
    "DELTA",
    "MODELS",
    "STAGES",
    "THEN",
    "Domain",
    "Engines",
    "Folders",
    "Narrow",
    "Neural",
    "Outcome",
    "Plan",
    "Prepared",
    "Pretrained",
    "Result",
    "Static",
    "TableChoice",
    "Tfidf",
    "Workspace",
    "load_table",
    "prepare",
    "read_plan",
    "run_plan",
    "save_model",
    "transfer",
]
