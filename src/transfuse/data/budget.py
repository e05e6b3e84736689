"""Which training rows a recipe may see the labels of: a budget of labels, or k of each class."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.seeds import seed_for
from transfuse.data.strata import class_codes, take_turns
from transfuse.errors import DataError, Problem

__all__ = ["few_shot", "take_budget"]

Indices = npt.NDArray[np.int64]


def take_budget(labels: Sequence[Any], budget: int, seed: int) -> Indices:
    """Chooses the rows whose labels are paid for, in the same class shares as all rows.

    For one seed the choices are nested: those of a smaller budget are the first of a larger one's,
    so a learning curve adds labels and never swaps them. The first choices are one row of each
    class, commonest class first; after them every class grows in step with its share.

    Args:
        labels: The label of each training row: classes, or numbers or lists, which are drawn
            without regard to their values.
        budget: How many rows to choose, at least 1.
        seed: The run's seed.

    Returns:
        Places in `labels` in the order of choice, int64 [budget].

    Raises:
        DataError: If there are fewer rows than the budget, or the budget is below 1.
    """
    if not 1 <= budget <= len(labels):
        raise DataError(
            Problem(
                f"budget of {budget} labels",
                f"there are {len(labels)} training rows",
                f"a budget from 1 to {len(labels)}",
                "Lower the budget, or give more labelled rows.",
            )
        )
    rng = np.random.default_rng(seed_for(seed, "budget"))
    codes = class_codes(labels)
    if codes is None:
        return rng.permutation(len(labels))[:budget]
    counts = np.bincount(codes)
    places, turns = take_turns(codes, rng)
    ties = rng.permutation(len(counts))
    # Webster's rule for seats: row j of a class of n comes at (j + 1/2) / n of the way. The first
    # of each class comes before everything.
    key = np.where(turns == 0, -1.0, (turns + 0.5) / counts[codes[places]])
    common = -counts[codes[places]]
    order = np.lexsort((ties[codes[places]], common, key))
    return places[order[:budget]]


def few_shot(
    labels: Sequence[Any], k: int, seed: int, classes: Sequence[Any] | None = None
) -> Indices:
    """Chooses k rows of each class; those of a smaller k are the first of a larger one's.

    A row may have several classes, as a picture shows several things, and then counts for each:
    classes that were met on the way get fewer rows of their own, and some more than k.

    Args:
        labels: The class of each training row, or a frozenset of its classes.
        k: Rows per class, at least 1.
        seed: The run's seed.
        classes: The classes that are to be had. Default: those of the labels.

    Returns:
        Places in `labels`, int64: one row of each class, then the next of each; k × classes of
        them where each row has one class.

    Raises:
        DataError: If a class has fewer than k rows (all such classes are named), if k is below 1,
            or if the labels are not classes.
    """
    where = f"{k} rows per class"
    codes = class_codes([name for label in labels for name in _classes(label)])
    if codes is None or k < 1:
        what = "the labels are numbers or lists" if codes is None else "nothing to choose"
        expected = "one class for each row" if codes is None else "at least 1"
        raise DataError(Problem(where, what, expected))
    counts = Counter(name for label in labels for name in _classes(label))
    short = [name for name in (classes or sorted(counts, key=str)) if counts[name] < k]
    if short:
        fix = "Choose a smaller k, or leave out such classes."
        raise DataError(
            Problem(where, f"class {name!r} has {counts[name]}", fix=fix) for name in short
        )
    rng = np.random.default_rng(seed_for(seed, "few-shot"))
    owners = np.repeat(np.arange(len(labels)), [len(_classes(label)) for label in labels])
    shuffled = rng.permutation(len(labels))
    places = np.argsort(shuffled)[owners]
    waiting = [
        iter(shuffled[np.sort(places[codes == code])].tolist()) for code in range(len(counts))
    ]
    members: list[list[int]] = [[] for _ in labels]
    for owner, code in zip(owners.tolist(), codes.tolist(), strict=True):
        members[owner].append(code)
    had = np.zeros(len(counts), np.int64)
    chosen: dict[int, None] = {}
    for turn in range(k):
        for code, rows in enumerate(waiting):
            if had[code] <= turn:
                row = next(each for each in rows if each not in chosen)
                chosen[row] = None
                had[members[row]] += 1
    return np.fromiter(chosen, np.int64, len(chosen))


def _classes(label: Any) -> Collection[Any]:
    return label if isinstance(label, frozenset) else (label,)
