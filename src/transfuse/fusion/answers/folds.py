"""Rows in parts, to fit on some and judge on the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import DataError, Problem

__all__ = ["folds"]


def folds(
    targets: NDArray[np.int64], groups: Sequence[Any] | None, parts: int, seed: int, where: str
) -> list[NDArray[np.int64]]:
    """Row numbers of each part; every row is in one, and rows of a group are in the same.

    Classes are spread evenly over the parts as far as groups allow.

    Args:
        targets: Class numbers, [n].
        groups: The group of each row, or None.
        parts: How many parts; fewer where there are fewer groups.
        seed: Decides which rows go together.
        where: The method, for errors.

    Raises:
        DataError: If there are fewer than two groups.
    """
    rng = np.random.default_rng(seed)
    members: dict[Any, list[int]] = {}
    for row, group in enumerate(range(len(targets)) if groups is None else groups):
        members.setdefault(group, []).append(row)
    units = list(members.values())
    parts = min(parts, len(units))
    if parts < 2:
        what = f"{len(targets)} rows of {len(units)} groups"
        raise DataError(Problem(where, what, "rows of at least two groups, to cross-validate"))
    order = rng.permutation(len(units))
    classes = [int(np.bincount(targets[units[unit]]).argmax()) for unit in order]
    order = order[np.argsort(classes, kind="stable")]
    return [
        np.sort(np.concatenate([units[unit] for unit in order[part::parts]]))
        for part in range(parts)
    ]
