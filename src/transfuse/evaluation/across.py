"""Replicates of a mean over several tasks."""

from collections.abc import Sequence

import numpy as np

from transfuse.evaluation.inputs import Array
from transfuse.evaluation.statistics import Replicates

__all__ = ["mean_replicates"]


def mean_replicates(parts: Sequence[Replicates]) -> Replicates:
    """The mean of one metric over several tasks, each with test rows of its own.

    Every task counts the same. Documents must have been drawn for each task on its own (a
    `Bootstrap` with another `seed` for each), so that they vary independently; the seeds of a
    recipe are the same for all its tasks, and so are their deviations.

    Args:
        parts: One recipe's replicates for each task, in the order that all recipes share.

    Returns:
        Replicates for a `Bootstrap` over the documents of all tasks together.

    Raises:
        ValueError: If the metrics or the numbers of seeds differ, or there are none.
    """
    names = {part.metric.name for part in parts}
    seeds = {len(part.per_seed) for part in parts}
    if len(names) != 1 or len(seeds) != 1:
        raise ValueError(f"expected one metric and one number of seeds, got {names} and {seeds}")
    return Replicates(
        metric=parts[0].metric,
        per_seed=np.mean([part.per_seed for part in parts], axis=0),
        resampled=np.mean([part.resampled for part in parts], axis=0),
        by_document=_stacked([part.by_document for part in parts]),
    )


def _stacked(sums: Sequence[Array]) -> Array:
    """Sums of documents below each other; a task with fewer classes has fewer sums."""
    widest = max(part.shape[1] for part in sums)
    return np.concatenate([np.pad(part, ((0, 0), (0, widest - part.shape[1]))) for part in sums])
