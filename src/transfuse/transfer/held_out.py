"""A run's answers to its validation rows, kept for prediction sets and 'I don't know'."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.calibration import Calibration
from transfuse.data import Role
from transfuse.evaluation import apply_temperature
from transfuse.tasks import Task
from transfuse.transfer.domains import Domain
from transfuse.transfer.run import Outcome
from transfuse.transfer.trained import TrainedFolder
from transfuse.transfer.workspace import Workspace

__all__ = ["keep_held_out"]


def keep_held_out(outcome: Outcome, workspace: Workspace, folder: Path) -> None:
    """Write the answers to the validation rows into a model folder.

    Nothing is written without validation rows, or for a recipe that learns without labels of the
    target: it must not see any this way either.

    Args:
        outcome: What the run left.
        workspace: The run's data.
        folder: The model folder.
    """
    prepared = workspace.prepared
    if outcome.tasks:
        for name, found in outcome.tasks.items():
            domain = prepared.tasks[name]
            targets = domain.targets[domain.parts.validation]
            _keep(found.validation_scores, found.scorecard.temperature, domain.task, targets,
                  folder, name)  # fmt: skip
    elif outcome.plan.reads_labels:
        temperature = outcome.scorecard.temperature
        task, scores, targets = _own(outcome, prepared.target)
        _keep(scores, temperature, task, targets, folder, "target")


def _own(outcome: Outcome, target: Domain) -> tuple[Task, NDArray[np.floating[Any]], NDArray[Any]]:
    """The answers over the model's own labels, of which the target's may be some, and the truth.

    Where rows have labels that the model does not know there are none: of no set of its labels
    could be promised that the right one is among them.
    """
    trained, rows = outcome.trained, target.parts.validation
    targets = target.targets[rows]
    if not isinstance(trained, TrainedFolder):
        return target.task, outcome.validation_scores, targets
    task = trained.task
    if task.label_names == target.task.label_names:
        return task, outcome.validation_scores, targets
    occurring = frozenset[str]().union(*(target.task.classes(targets) or ()))
    if not occurring <= set(task.label_names):
        return task, outcome.validation_scores[:0], targets[:0]
    held_out = target.table.take(rows)
    return task, trained.own(held_out.inputs(trained.reads)), task.targets(held_out)


def _keep(
    scores: NDArray[np.floating[Any]],
    temperature: float,
    task: Task,
    targets: NDArray[Any],
    folder: Path,
    head: str,
) -> None:
    if not len(scores) or task.answers != Role.LABEL:
        # Prediction sets and intervals are of labels and numbers.
        return
    if task.kind == "classification":
        scores = apply_temperature(scores, temperature)
    Calibration(scores, targets).save(folder, head)
