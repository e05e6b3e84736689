"""What a run measured on each of several tasks, and on all together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfuse.evaluation import Scorecard
from transfuse.transfer.domains import Prepared

__all__ = ["TaskOutcome", "joint_card"]


@dataclass(frozen=True)
class TaskOutcome:
    """What one run measured on one of its tasks."""

    scorecard: Scorecard
    scores: NDArray[np.float64]
    """Scores of the task's test rows before temperature scaling, [n, outputs]."""

    validation_scores: NDArray[np.float64]
    """The same for the task's validation rows."""


def joint_card(
    prepared: Prepared, tasks: Mapping[str, TaskOutcome], costs: dict[str, float]
) -> Scorecard:
    """One scorecard of several tasks.

    Args:
        prepared: The data.
        tasks: What was measured on each.
        costs: What the run cost.

    Returns:
        The metrics of each task as `task/metric`, and before them the mean over tasks of the
        metric that comparisons are made on, where the tasks have the same.
    """
    metrics: dict[str, float] = {}
    primary = {prepared.tasks[name].task.primary for name in tasks}
    if len(primary) == 1:
        (metric,) = primary
        each = [outcome.scorecard.metrics[metric] for outcome in tasks.values()]
        metrics[f"mean/{metric}"] = float(np.mean(each))
    for name, outcome in tasks.items():
        metrics |= {f"{name}/{key}": value for key, value in outcome.scorecard.metrics.items()}
    rows = sum(outcome.scorecard.rows for outcome in tasks.values())
    prints = {
        f"{name}/{key}": value
        for name, outcome in tasks.items()
        for key, value in outcome.scorecard.fingerprints.items()
    }
    return Scorecard(metrics, costs, 1.0, rows, prints)
