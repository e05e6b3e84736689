"""How well pictures and captions find each other, as sums over rows.

A row is a picture with one caption of it, told by two vectors of length 1 side by side, and the
number of the item that it shows: several captions of one picture are rows of one item, and each is
a right answer. A caption looks for its item among all items, each standing for its best picture; a
picture looks for any of its captions among all captions.

`rank` is 1 plus the number of wrong answers before the best right one; wrong ones that score the
same count half, so that vectors which are all alike find nothing. Where a picture stands in several
rows, each of them counts that much less: recalls of pictures are means over items, and those of
captions means over rows.
"""

import numpy as np
import numpy.typing as npt

from transfuse.evaluation.inputs import Array

__all__ = [
    "AT",
    "RANK_BINS",
    "Ranks",
    "mean_recall_value",
    "median_rank_value",
    "rank_sums",
    "ranks",
    "recall_sums",
    "recall_value",
]

Ranks = npt.NDArray[np.float64]

_BLOCK = 512
"""Queries whose scores are held at a time."""

AT = (1, 5, 10)
"""The numbers of answers that are looked at."""

_TIE = 1e-6
"""Cosines that differ by less are the same: 32-bit products round further than that apart."""

RANK_BINS: tuple[int, ...] = tuple(
    dict.fromkeys([*range(1, 101), *(int(100 * 1.05**step) for step in range(1, 240))])
)
"""Ranks that the median is read from: each up to 100, then in steps of a twentieth."""


def ranks(vectors: Array, items: Array) -> tuple[Ranks, Ranks]:
    """The rank of the best right answer of each row, both ways.

    Args:
        vectors: The vectors of each row's picture and caption, of length 1, side by side, [n, 2p].
        items: The number of each row's item, [n].

    Returns:
        The rank of the row's item among all items for its caption, and that of the best caption
        of the item among all captions for its picture, each [n].
    """
    order = np.argsort(items, kind="stable")
    pictures, captions = np.split(vectors[order].astype(np.float32), 2, axis=1)
    _, starts, number = np.unique(items[order], return_index=True, return_inverse=True)
    found = np.empty((2, len(items)))
    for begin in range(0, len(items), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        mine = number[rows]
        by_caption = np.maximum.reduceat(captions[rows] @ pictures.T, starts, axis=1)
        right = np.take_along_axis(by_caption, mine[:, None], 1)
        found[0, order[rows]] = _rank(by_caption, right, np.arange(len(starts)) == mine[:, None])
        by_picture = pictures[rows] @ captions.T
        own = number == mine[:, None]
        right = np.where(own, by_picture, -np.inf).max(axis=1, keepdims=True)
        found[1, order[rows]] = _rank(by_picture, right, own)
    return found[0], found[1]


def _rank(scores: Array, right: Array, own: Array) -> Ranks:
    """1, the wrong answers before the right one, and half of those that score the same."""
    before = (scores > right + _TIE) & ~own
    level = (np.abs(scores - right) <= _TIE) & ~own
    rank: Ranks = 1.0 + before.sum(axis=1) + level.sum(axis=1) / 2
    return rank


def _shares(items: Array) -> Array:
    """What the picture of each row counts: the rows of an item together count 1, [n]."""
    _, number, counts = np.unique(items, return_inverse=True, return_counts=True)
    shares: Array = 1.0 / counts[number]
    return shares


def recall_sums(vectors: Array, items: Array) -> Array:
    """Whether a right answer is among the first 1, 5 and 10, both ways, [n, 8].

    Args:
        vectors: As for `ranks`.
        items: As for `ranks`.

    Returns:
        For captions the three hits and the count of rows, then the same for pictures with each
        row's share of its item.
    """
    by_caption, by_picture = ranks(vectors, items)
    columns = []
    for found, counts in ((by_caption, np.ones(len(items))), (by_picture, _shares(items))):
        columns += [(found <= limit) * counts for limit in AT] + [counts]
    return np.stack(columns, axis=1)


def recall_value(sums: Array, column: int) -> Array:
    """One of the six recalls.

    Args:
        sums: Sums of what `recall_sums` gives, [..., 8].
        column: 0 to 2 for captions at 1, 5 and 10; 4 to 6 for pictures.
    """
    value: Array = sums[..., column] / sums[..., 3 if column < 3 else 7]
    return value


def mean_recall_value(sums: Array) -> Array:
    """The mean of the six recalls."""
    by_caption = sums[..., :3] / sums[..., 3:4]
    by_picture = sums[..., 4:7] / sums[..., 7:8]
    value: Array = (by_caption.mean(axis=-1) + by_picture.mean(axis=-1)) / 2
    return value


def rank_sums(vectors: Array, items: Array, *, by_caption: bool) -> Array:
    """In the column of the row's rank what the row counts, [n, bins].

    Args:
        vectors: As for `ranks`.
        items: As for `ranks`.
        by_caption: Whether captions look for pictures, rather than pictures for captions.
    """
    found = ranks(vectors, items)[0 if by_caption else 1]
    counts = np.ones(len(items)) if by_caption else _shares(items)
    bins = np.searchsorted(RANK_BINS, np.ceil(found)).clip(max=len(RANK_BINS) - 1)
    sums = np.zeros((len(items), len(RANK_BINS)))
    sums[np.arange(len(items)), bins] = counts
    return sums


def median_rank_value(sums: Array) -> Array:
    """The least rank that half of the queries reach; above 100 to within a twentieth."""
    reached = np.cumsum(sums, axis=-1)
    # The shares of the rows of an item add up to 1 but for rounding.
    half = reached >= (0.5 - 1e-9) * reached[..., -1:]
    value: Array = np.asarray(RANK_BINS, dtype=np.float64)[half.argmax(axis=-1)]
    return value
