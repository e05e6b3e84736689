"""The search for one coefficient: an even grid, then golden sections around its best point."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Found", "Worth", "search"]

Worth = tuple[float, float]
"""The task's metric, greater is better, and minus the loss, which decides between equals."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Args:
        value: The best coefficient.
        worth: What it was worth.
        tried: Every coefficient that was tried with its metric, by coefficient.
    """

    value: float
    worth: Worth
    tried: tuple[tuple[float, float], ...]


def search(
    worth: Callable[[float], Worth],
    low: float,
    high: float,
    *,
    points: int = 6,
    sections: int = 4,
    hear: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """The coefficient that is worth most.

    Scores of a few hundred rows are steps with several peaks, so an even grid comes first; golden
    sections (Kiefer, 1953) then narrow the interval around its best point. The best of all that
    were tried is kept, of equals the least.

    Args:
        worth: What a coefficient is worth, measured on rows that nothing was learnt from.
        low: The least coefficient.
        high: The greatest.
        points: Points of the grid, both ends included. Default: 6.
        sections: Points that are tried after it, 0 or at least 2. Default: 4.
        hear: Told the number of points that are done, and of all. Default: nobody.

    Raises:
        ValueError: If the interval is empty or the grid has fewer than 2 points.
    """
    if not low < high or points < 2 or sections < 0 or sections == 1:
        given = f"{low} to {high}, {points} points and {sections} sections"
        raise ValueError(f"expected low < high, 2 points, and 0 or 2 sections, got {given}")
    tried: dict[float, Worth] = {}

    def at(value: float) -> Worth:
        if value not in tried:
            tried[value] = worth(value)
            hear(len(tried), points + sections)
        return tried[value]

    grid = [float(value) for value in np.linspace(low, high, points)]
    for value in grid:
        at(value)
    place = max(range(points), key=lambda number: (tried[grid[number]], -number))
    start, stop = grid[max(0, place - 1)], grid[min(points - 1, place + 1)]
    left, right = stop - _GOLDEN * (stop - start), start + _GOLDEN * (stop - start)
    for _ in range(sections - 1):
        # The first round measures both points, every further one the point that is new.
        if at(left) >= at(right):
            stop, right = right, left
            left = stop - _GOLDEN * (stop - start)
        else:
            start, left = left, right
            right = start + _GOLDEN * (stop - start)
    best = max(sorted(tried), key=lambda value: (tried[value], -value))
    return Found(best, tried[best], tuple((value, tried[value][0]) for value in sorted(tried)))
