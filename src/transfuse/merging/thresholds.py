"""The k-th largest difference of each model, exactly, without sorting or holding them all.

A few runs tell where it must lie; one pass over all counts what is above and keeps what is near.
Where that misses, or too much is near (stored differences repeat a lot), further passes
count at sixteen places at a time between what is known to be below and above; at most eight of
them end at the number itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.streamed import BLOCK, Ask, Piece, Span, Survey, blocks

__all__ = ["thresholds"]

_HELD = 1 << 17
"""Tensors up to this size are held whole."""

_MOST_HELD = 1 << 22
"""Numbers of one model that may be held at a time, about."""

_FEWEST, _MOST = 16, 512
"""Runs that a first guess is made from: one in eight, within these bounds."""

_SAMPLED = 1 << 12
"""Numbers that are looked at in each of those."""

_ERRORS = 5
"""Standard errors of the sample, in ranks, by which the first guess may be off."""

_WIDE = 0.1
"""How far, in ranks, the second guess may be off; the first one less."""

_PLACES = 16

_INFINITY = 0x7F80_0001
"""Bits above every number, as integers."""


class _Range(NamedTuple):
    """The number lies from `low` to before `high`, both as the bits of a float32 above 0."""

    low: int
    high: int


class _Near(NamedTuple):
    """Of one run and model: how many are above the range, how many and which are within it."""

    above: int
    inside: int
    within: Floats | None


def thresholds(sizes: Mapping[str, int], density: float) -> Survey:
    """The size of the smallest difference that is kept, for each model.

    Args:
        sizes: How many weights each tensor has; they count as one.
        density: Share that is kept, above 0 and up to 1; at least one is.

    Returns:
        A survey that returns one number for each model: the k-th largest difference by size,
        where k is the share of all, rounded down.
    """
    size = sum(sizes.values())
    keep = max(1, int(density * size))
    grid = blocks(sizes)
    if size <= _HELD:
        whole = yield Ask(grid, _magnitudes)
        return tuple(_largest(np.concatenate(parts), keep) for parts in zip(*whole, strict=True))
    step = max(1, len(grid) // min(_MOST, max(_FEWEST, len(grid) // 8)))
    few = [Span(name, start, min(start + _SAMPLED, stop)) for name, start, stop in grid[::step]]
    sampled = yield Ask(few, _magnitudes)
    runs = list(zip(*sampled, strict=True))
    samples = [np.concatenate(parts) for parts in runs]
    errors = [_ERRORS * _error(*each, keep / size) for each in zip(samples, runs, strict=True)]
    for margins in (errors, [_WIDE] * len(samples)):
        margins = [min(margin, _WIDE, _MOST_HELD / size) for margin in margins]
        ranges = [_guess(*each, keep / size) for each in zip(samples, margins, strict=True)]
        # A run that has many more within the range than it should hands on none of them.
        near = yield Ask(grid, _nearby(ranges, int(8 * max(margins) * BLOCK)))
        found = [_settle(*each, keep) for each in zip(ranges, zip(*near, strict=True), strict=True)]
        if all(number is not None for number in found):
            return tuple(found)
    return (yield from _narrowed(grid, size, keep, len(samples)))


def _error(sample: Floats, parts: Sequence[Floats], share: float) -> float:
    """The standard error of a sample's rank: that of its runs' ranks, and at least by chance."""
    place = len(sample) - max(1, int(share * len(sample)))
    sample.partition(place)
    reached = [np.count_nonzero(part >= sample[place]) / len(part) for part in parts]
    by_runs = float(np.std(reached)) / math.sqrt(len(parts))
    return max(by_runs, math.sqrt(share * (1 - share) / len(sample)), 1 / len(sample))


def _narrowed(grid: Sequence[Span], size: int, keep: int, models: int) -> Survey:
    """The same by counting alone, until little enough is near to be held."""
    ranges = [_Range(0, _INFINITY)] * models
    within = [size] * models
    while any(
        count > _MOST_HELD and one.high - one.low > 1
        for one, count in zip(ranges, within, strict=True)
    ):
        places = [_places(one) for one in ranges]
        counted = yield Ask(grid, _counting(places))
        totals = np.sum(counted, axis=0)
        for model, edges in enumerate(places):
            # How many are at or above each edge falls from edge to edge.
            at = int(np.count_nonzero(totals[model] >= keep)) - 1
            last = at + 1 == len(edges)
            ranges[model] = _Range(edges[at], ranges[model].high if last else edges[at + 1])
            within[model] = int(totals[model][at]) - (0 if last else int(totals[model][at + 1]))
    near = yield Ask(grid, _nearby(ranges, BLOCK))
    return tuple(_settle(*each, keep) for each in zip(ranges, zip(*near, strict=True), strict=True))


def _sizes_of(piece: Piece) -> Floats:
    """The differences without their signs, [models, n], in place."""
    deltas = piece.deltas()
    return np.abs(deltas, out=deltas)


def _magnitudes(piece: Piece) -> list[Floats]:
    return [sizes.copy() for sizes in _sizes_of(piece)]


def _nearby(ranges: Sequence[_Range], most: int) -> Callable[[Piece], list[_Near]]:
    lows, highs = np.array(ranges, np.uint32).view(np.float32).T[..., None]
    endless = [model for model, one in enumerate(ranges) if one.high == _INFINITY]

    def look(piece: Piece) -> list[_Near]:
        sizes = _sizes_of(piece)
        reached = piece.desk.flags("reached", *sizes.shape)
        within = piece.desk.flags("within", *sizes.shape)
        np.greater_equal(sizes, lows, out=reached)
        np.less(sizes, highs, out=within)
        within[endless] = True
        np.logical_and(reached, within, out=within)
        found = []
        for place, row in enumerate(sizes):
            held = row.compress(within[place])
            above = int(np.count_nonzero(reached[place])) - len(held)
            found.append(_Near(above, len(held), held if len(held) <= most else None))
        return found

    return look


def _counting(places: Sequence[Sequence[int]]) -> Callable[[Piece], NDArray[np.int64]]:
    def look(piece: Piece) -> NDArray[np.int64]:
        reached = piece.desk.flags("reached", piece.span.stop - piece.span.start)
        counts = np.zeros((len(places), _PLACES), np.int64)
        for model, sizes in enumerate(_sizes_of(piece)):
            for place, edge in enumerate(places[model]):
                np.greater_equal(sizes, _number(edge), out=reached)
                counts[model, place] = np.count_nonzero(reached)
        return counts

    return look


def _places(one: _Range) -> list[int]:
    """Edges from the low end upwards; fewer where there are no more numbers between."""
    step = max(1, -((one.low - one.high) // _PLACES))
    return list(range(one.low, one.high, step))


def _guess(sample: Floats, margin: float, share: float) -> _Range:
    """Where the number must lie, going by a sample."""
    last = len(sample) - 1
    top, bottom = min(1.0, share + margin), max(0.0, share - margin)
    low, high = int((1 - top) * last), math.ceil((1 - bottom) * last)
    sample.partition((low, high))
    bits = sample.view(np.uint32)
    return _Range(
        int(bits[low]) if top < 1 else 0, int(bits[high]) + 1 if bottom > 0 else _INFINITY
    )


def _settle(one: _Range, parts: Sequence[_Near], keep: int) -> float | None:
    """The number, if it is within the range and what is there was handed on."""
    rank = keep - sum(part.above for part in parts)
    if not 1 <= rank <= sum(part.inside for part in parts):
        return None
    if one.high - one.low == 1:
        return float(_number(one.low))
    held = [part.within for part in parts if part.within is not None]
    return _largest(np.concatenate(held), rank) if len(held) == len(parts) else None


def _number(bits: int) -> np.float32:
    """The number that has these bits; its order is that of the bits."""
    return np.uint32(bits).view(np.float32)


def _largest(numbers: Floats, rank: int) -> float:
    """The number that has `rank` numbers at or above it; the array is rearranged."""
    place = len(numbers) - rank
    numbers.partition(place)
    return float(numbers[place])
