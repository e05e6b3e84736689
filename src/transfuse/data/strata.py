"""Classes counted, shuffled and shared out: the arithmetic under splits and label budgets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["class_codes", "class_sizes", "divide", "take_turns"]

Integers = npt.NDArray[np.int64]


def class_codes(labels: Sequence[Any]) -> Integers | None:
    """Numbers the classes in the order of their names.

    Args:
        labels: The label of each row.

    Returns:
        The class number of each row from 0, int64 [rows], or None if the labels are not one class
        per row: measured numbers (floats) or lists.
    """
    if any(isinstance(label, float | list | tuple | np.ndarray | np.floating) for label in labels):
        return None
    # The order of a set differs from process to process; that of sorted names does not.
    names = sorted(set(labels), key=lambda label: (type(label).__name__, label))
    numbers = {name: number for number, name in enumerate(names)}
    return np.fromiter((numbers[label] for label in labels), np.int64, len(labels))


def take_turns(codes: Integers, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Shuffles the rows of each class.

    Args:
        codes: The class number of each row, [rows].
        rng: Decides the order.

    Returns:
        Row numbers, class after class and shuffled within it, and the turn of each within its
        class from 0; both int64 [rows].
    """
    shuffled = rng.permutation(len(codes))
    places = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    return places, np.arange(len(codes)) - starts[codes[places]]


def divide(codes: Integers, shares: Sequence[float], rng: np.random.Generator) -> Integers:
    """Divides the rows at random so that each class is divided by the shares.

    Args:
        codes: The class number of each row, [rows].
        shares: The share of each part; they sum to 1, and the first is the training part.
        rng: Decides which rows.

    Returns:
        The part of each row, int64 [rows]; sizes as `class_sizes` gives them.
    """
    counts = np.bincount(codes)
    sizes = class_sizes(counts, shares)
    places, turns = take_turns(codes, rng)
    ends = np.cumsum(sizes, axis=1)[codes[places]]
    parts = np.empty(len(codes), dtype=np.int64)
    parts[places] = (turns[:, None] >= ends).sum(axis=1)
    return parts


def class_sizes(counts: Integers, shares: Sequence[float]) -> Integers:
    """Shares out the rows of each class in whole numbers.

    Rows left over by rounding go where most is owed, counting what earlier classes left owing;
    so the parts' sizes come out right as well. A class's first row goes to the first part: what
    is tested must have been trained on.

    Args:
        counts: Rows of each class, [classes].
        shares: The share of each part; they sum to 1.

    Returns:
        Rows of each class in each part, int64 [classes, parts], each less than one row from its
        share.
    """
    wanted = counts[:, None] * np.asarray(shares)
    # A share such as 0.1 × 70 that is whole but for the last bit must not be rounded down.
    sizes: Integers = np.floor(wanted + 1e-9).astype(np.int64)
    owed = np.zeros(len(shares))
    # Large classes first: small ones then mend what those left owing.
    for code in np.argsort(-counts, kind="stable"):
        owed += wanted[code] - sizes[code]
        left = int(counts[code] - sizes[code].sum())
        # Only a part whose share was rounded down may take one more and stay within one row.
        open_parts = wanted[code] - sizes[code] > 1e-9
        claim = np.where(open_parts, owed, -np.inf)
        if sizes[code, 0] == 0:
            claim[0] = np.inf
        taking = np.argsort(-claim, kind="stable")[:left]
        sizes[code, taking] += 1
        owed[taking] -= 1
    return sizes
