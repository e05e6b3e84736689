"""Many recipes, budgets and seeds, and statistics over them.

Read `compare.py` first.
"""

from transfuse.study.compare import compare
from transfuse.study.numbers import Number
from transfuse.study.plan import Comparison, StudyPlan, is_study, read_study
from transfuse.study.run import run
from transfuse.study.runs import Run, RunKey
from transfuse.study.watch import Watcher

__all__ = [
    "Comparison",
    "Number",
    "Run",
    "RunKey",
    "StudyPlan",
    "Watcher",
    "compare",
    "is_study",
    "read_study",
    "run",
]
