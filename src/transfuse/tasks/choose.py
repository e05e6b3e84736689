"""The task that labels ask for by themselves."""

from collections.abc import Sequence
from typing import Any

from transfuse.tasks.base import Task
from transfuse.tasks.classification import Classification
from transfuse.tasks.multilabel import MultiLabel
from transfuse.tasks.regression import Regression

__all__ = ["task_for"]


def task_for(values: Sequence[Any]) -> Task:
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
