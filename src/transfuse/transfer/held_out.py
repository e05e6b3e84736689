"""A run's answers to its validation rows, kept for prediction sets and 'I don't know'."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.calibration import Calibration
from transfuse.data import Role
from transfuse.evaluation import apply_temperature
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
            _keep(found.validation_scores, found.scorecard.temperature, prepared.tasks[name],
                  folder, name)  # fmt: skip
    elif outcome.plan.reads_labels:
        temperature = outcome.scorecard.temperature
        scores, domain = _own(outcome, prepared.target)
        _keep(scores, temperature, domain, folder, "target")


def _own(outcome: Outcome, target: Domain) -> tuple[NDArray[np.floating[Any]], Domain]:
    """The answers over the model's own labels, of which the target's may be some."""
    trained = outcome.trained
    if not isinstance(trained, TrainedFolder):
        return outcome.validation_scores, target
    if trained.task.label_names == target.task.label_names:
        return outcome.validation_scores, target
    targets = trained.task.targets(target.table)
    held_out = target.table.take(target.parts.validation)
    return trained.own(held_out.inputs(trained.reads)), replace(
        target, task=trained.task, targets=targets
    )


def _keep(
    scores: NDArray[np.floating[Any]], temperature: float, domain: Domain, folder: Path, head: str
) -> None:
    if not len(scores) or domain.task.answers != Role.LABEL:
        # Prediction sets and intervals are of labels and numbers.
        return
    if domain.task.kind == "classification":
        scores = apply_temperature(scores, temperature)
    Calibration(scores, domain.targets[domain.parts.validation]).save(folder, head)
