"""Whole groups into parts: sizes and classes as near to what was asked as whole groups allow."""

import numpy as np
import numpy.typing as npt

__all__ = ["assign_groups"]

Integers = npt.NDArray[np.int64]

_MOST_MOVES = 1_000
"""Single moves after the first pass; each makes the parts better, so this only bounds the time."""


def assign_groups(counts: Integers, goal: Integers, rng: np.random.Generator) -> Integers:
    """Puts each group into one part.

    Groups come in random order, each to the part that still lacks most of what the group holds;
    then single groups move as long as that brings the parts nearer to the goal. All sums are of
    whole numbers, so that every machine decides alike.

    Args:
        counts: Rows of each class in each group, [groups, classes].
        goal: Rows of each class wanted in each part, [parts, classes]; a part that wants none is
            left empty.
        rng: The order in which groups come.

    Returns:
        The part of each group, int64 [groups]. No part that wants rows is left empty.

    Raises:
        ValueError: If there are fewer groups than parts that want rows.
    """
    wanting = np.flatnonzero(goal.sum(axis=1) > 0)
    if len(counts) < len(wanting):
        raise ValueError(f"{len(counts)} groups for {len(wanting)} parts")
    # The number of rows counts as one more class, so that sizes matter beside shares.
    groups = np.column_stack([counts, counts.sum(axis=1)])
    lacking = np.column_stack([goal, goal.sum(axis=1)])[wanting]
    parts = np.zeros(len(groups), dtype=np.int64)
    for group in rng.permutation(len(groups)):
        parts[group] = np.argmax(lacking @ groups[group])
        lacking[parts[group]] -= groups[group]
    _fill_empty(groups, lacking, parts)
    _improve(groups, lacking, parts)
    chosen: Integers = wanting[parts]
    return chosen


def _costs(groups: Integers, lacking: Integers, parts: Integers) -> Integers:
    """How much the squared distance to the goal grows if a group moves, [groups, parts]."""
    # |l_from + g|² + |l_to - g|² - |l_from|² - |l_to|² = 2 g·(l_from - l_to) + 2 |g|²
    products = groups @ lacking.T
    here = np.take_along_axis(products, parts[:, None], axis=1)
    costs: Integers = 2 * (here - products + (groups * groups).sum(axis=1)[:, None])
    np.put_along_axis(costs, parts[:, None], np.iinfo(np.int64).max, axis=1)
    return costs


def _move(groups: Integers, lacking: Integers, parts: Integers, group: int, part: int) -> None:
    lacking[parts[group]] += groups[group]
    lacking[part] -= groups[group]
    parts[group] = part


def _fill_empty(groups: Integers, lacking: Integers, parts: Integers) -> None:
    for part in range(len(lacking)):
        sizes = np.bincount(parts, minlength=len(lacking))
        if sizes[part] == 0:
            costs = _costs(groups, lacking, parts)[:, part]
            costs[sizes[parts] == 1] = np.iinfo(np.int64).max
            _move(groups, lacking, parts, int(np.argmin(costs)), part)


def _improve(groups: Integers, lacking: Integers, parts: Integers) -> None:
    for _ in range(_MOST_MOVES):
        costs = _costs(groups, lacking, parts)
        # A part's last group stays.
        costs[np.bincount(parts, minlength=len(lacking))[parts] == 1] = np.iinfo(np.int64).max
        group, part = divmod(int(np.argmin(costs)), len(lacking))
        if costs[group, part] >= 0:
            return
        _move(groups, lacking, parts, group, part)
