"""What a prediction is: the head's size, the loss, the decoding and the metrics.

Read `base.py` first. `TASKS` lists every task by the name that recipes use.
"""

from transfuse.tasks.base import Task
from transfuse.tasks.classification import Classification
from transfuse.tasks.multilabel import MultiLabel
from transfuse.tasks.regression import Regression

__all__ = ["TASKS", "Classification", "MultiLabel", "Regression", "Task", "task_for"]

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "multilabel": MultiLabel,
    "regression": Regression,
}


def task_for(values: list[object]) -> Task:
    """The task that a label column asks for when a recipe names none.

    Args:
        values: The labels as they stand in the table.

    Returns:
        Multi-label classification for lists, regression for fractional numbers, otherwise
        single-label classification. Labels are not fitted yet.
    """
    if any(isinstance(value, (list, tuple)) for value in values):
        return MultiLabel()
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return Regression()
    return Classification()
