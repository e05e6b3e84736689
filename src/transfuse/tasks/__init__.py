"""What a prediction is: the head's size, the loss, the decoding and the metrics.

Read `base.py` first. `TASKS` lists every task by the name that recipes use.
"""

from transfuse.tasks.base import Task
from transfuse.tasks.choose import task_for
from transfuse.tasks.classification import Classification
from transfuse.tasks.detection import Detection
from transfuse.tasks.matching import Matching
from transfuse.tasks.multilabel import MultiLabel
from transfuse.tasks.regression import Regression
from transfuse.tasks.segmentation import Segmentation

__all__ = [
    "TASKS",
    "Classification",
    "Detection",
    "Matching",
    "MultiLabel",
    "Regression",
    "Segmentation",
    "Task",
    "task_for",
]

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "multilabel": MultiLabel,
    "regression": Regression,
    "detection": Detection,
    "segmentation": Segmentation,
    "matching": Matching,
}
