"""Which rows train, which choose the epoch, and which test: decided by the seed, not by the texts.

Which of the training rows a recipe may see the labels of is in `transfuse.data.budget`.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Literal

import numpy as np
import numpy.typing as npt

from transfuse.data.grouping import assign_groups
from transfuse.data.schema import Role
from transfuse.data.seeds import seed_for
from transfuse.data.strata import class_codes, class_sizes, divide
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["SPLIT_COLUMN", "Split", "Splitting", "split"]

Indices = npt.NDArray[np.int64]

SPLIT_COLUMN = "split"
"""The column that `by: column` reads; its rows say `train`, `validation` or `test`."""

_MOST_COUNTS = 20_000_000
"""Beyond so many (group, class) pairs a grouped split looks at sizes alone, to spare memory."""

_PARTS = ("train", "validation", "test")
_SAID = {
    "train": 0,
    "training": 0,
    "validation": 1,
    "valid": 1,
    "val": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
    "eval": 2,
}


@dataclass(frozen=True)
class Splitting:
    """How a table is divided into training, validation and test rows.

    Raises:
        ValueError: If a share is negative or the two leave nothing to train on.
    """

    test: float = 0.2
    """Share of all rows that are tested on. Default: 0.2."""

    validation: float = 0.1
    """Share of all rows that choose the epoch, the penalty of a probe or of TF-IDF, and the
    temperature. Default: 0.1."""

    by: Literal["stratified", "group", "column", "random"] | None = None
    """`stratified`: each class keeps its share in each part; `group`: the rows of a group (a
    document, a user) stay together; `column`: the table's column `split` says it; `random`.
    Default: `group` if the table has groups, else `stratified` for classes, else `random`."""

    across: bool = False
    """Whether groups mean the same in all tables of a recipe, as one symbol drawn in two styles
    does: no table then teaches of a group that the target is scored on. Default: false."""

    def __post_init__(self) -> None:
        for name, share in (("test", self.test), ("validation", self.validation)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be a share from 0 to below 1, got {share}")
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test ({self.test}) and validation ({self.validation}) leave no rows to train on"
            )


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of each part, rising, int64; together they are every row once.

    Args:
        train: Rows to learn from.
        validation: Rows to choose by; empty if none were asked for.
        test: Rows to measure on; empty if none were asked for.
        notes: What could not be done exactly as asked, one sentence each.
    """

    train: Indices
    validation: Indices
    test: Indices
    notes: tuple[str, ...] = ()


def split(table: Table, splitting: Splitting, seed: int) -> Split:
    """Divides a table into training, validation and test rows.

    Args:
        table: The rows; `group` needs a column with that role, `stratified` a label of classes.
        splitting: The shares, and what stays together.
        seed: The run's seed; the same table, settings and seed give the same parts.

    Returns:
        Row numbers of the three parts. Stratified, each class differs from its share of each part
        by less than one row, and a class of one row is trained on. Grouped, no group is in two
        parts, and sizes and classes are as near to their shares as whole groups allow.

    Raises:
        DataError: If a part that was asked for would be empty, or the table lacks what `by` needs.
    """
    where = f"split of {table.name}"
    if not len(table):
        raise DataError(Problem(where, "the table has no rows"))
    by = splitting.by or _fitting(table)
    rng = np.random.default_rng(seed_for(seed, "split", by))
    shares = (1 - splitting.test - splitting.validation, splitting.validation, splitting.test)
    rows = np.arange(len(table))
    notes: tuple[str, ...] = ()
    match by:
        case "column":
            parts = _by_column(table, splitting.validation, rng, where)
        case "group":
            parts, notes = _by_group(table, rows, shares, rng, where)
        case "stratified":
            parts = divide(_classes(table, where), shares, rng)
        case "random":
            parts = divide(np.zeros_like(rows), shares, rng)
    _check(parts, shares, by, where)
    train, validation, test = (np.flatnonzero(parts == part) for part in range(3))
    return Split(train, validation, test, notes)


def _fitting(table: Table) -> Literal["group", "stratified", "random"]:
    if table.schema.has(Role.GROUP):
        return "group"
    return "random" if _few_classes(table) is None else "stratified"


def _classes(table: Table, where: str) -> Indices:
    codes = _few_classes(table)
    if codes is None:
        what = "by: stratified, but the table has no label of classes with two rows or more each"
        raise DataError(Problem(where, what, fix="Use `by: random`."))
    return codes


def _few_classes(table: Table) -> Indices | None:
    """The class of each row; None where labels are absent, numbers, lists, or hardly repeat."""
    codes = class_codes(table.labels()) if table.schema.has(Role.LABEL) else None
    # Whole numbers that hardly repeat are measurements, and names that do not are no classes.
    return None if codes is None or 2 * (int(codes.max()) + 1) > len(codes) else codes


def _by_group(
    table: Table, rows: Indices, shares: Sequence[float], rng: np.random.Generator, where: str
) -> tuple[Indices, tuple[str, ...]]:
    """The part of each of the rows, whole groups together, and notes."""
    groups = _group_codes(table, rows, where)
    count = int(groups.max()) + 1
    asked = sum(share > 0 for share in shares)
    if count < asked:
        only = "the rows are all of one group" if count == 1 else f"there are {count} groups"
        raise DataError(
            Problem(
                where,
                f"{only}, for {asked} parts",
                "at least one group for each part",
                "Split by another rule (then rows of one group are on both sides), or ask for "
                "fewer parts.",
            )
        )
    classes = _classes_among(table, rows)
    if count * (int(classes.max()) + 1) > _MOST_COUNTS:
        classes = np.zeros_like(rows)
    counts = np.zeros((count, int(classes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (groups, classes), 1)
    parts = assign_groups(counts, class_sizes(counts.sum(axis=0), shares).T, rng)[groups]
    return parts, _size_notes(parts, shares, int(counts.sum(axis=1).max()), where)


def _classes_among(table: Table, rows: Indices) -> Indices:
    """The class of each of the rows, numbered without gaps; all 0 where there are no classes."""
    codes = _few_classes(table)
    if codes is None:
        return np.zeros_like(rows)
    return np.unique(codes[rows], return_inverse=True)[1].astype(np.int64)


def _group_codes(table: Table, rows: Indices, where: str) -> Indices:
    """The group of each of the rows, numbered in the order of appearance."""
    groups = table.groups()
    if groups is None:
        what = "by: group, but no column is the group"
        fix = "Name the column, as `group: NAME`, or split by another rule."
        raise DataError(Problem(where, what, fix=fix))
    numbers: dict[Hashable, int] = {}
    found = (numbers.setdefault(groups[row], len(numbers)) for row in rows.tolist())
    return np.fromiter(found, np.int64, len(rows))


def _size_notes(
    parts: Indices, shares: Sequence[float], largest: int, where: str
) -> tuple[str, ...]:
    off = []
    for part, share in enumerate(shares):
        got = int((parts == part).sum())
        if abs(got - share * len(parts)) > max(1.0, 0.02 * len(parts)):
            off.append(f"{_PARTS[part]} has {got / len(parts):.0%} of the rows, not {share:.0%}")
    if not off:
        return ()
    return (f"{where}: {'; '.join(off)}, since groups stay whole (the largest: {largest} rows).",)


def _by_column(table: Table, validation: float, rng: np.random.Generator, where: str) -> Indices:
    if SPLIT_COLUMN not in table.dataset.column_names:
        raise DataError(
            Problem(
                where,
                f"by: column, but there is no column {SPLIT_COLUMN!r}",
                "one whose rows say train, validation or test",
            )
        )
    said = [str(value).strip().casefold() for value in table.values(SPLIT_COLUMN)]
    if bad := [row for row, value in enumerate(said) if value not in _SAID]:
        problems = [
            Problem(
                f"{table.name}, row {row + 1}, column {SPLIT_COLUMN!r}",
                f"{said[row]!r}",
                "train, validation or test",
            )
            for row in bad[:20]
        ]
        if len(bad) > len(problems):
            problems.append(Problem(where, f"and {len(bad) - len(problems)} more such rows"))
        raise DataError(problems)
    parts = np.array([_SAID[value] for value in said], dtype=np.int64)
    if validation and not (parts == 1).any() and (parts == 0).any():
        _carve_validation(table, parts, validation, rng, where)
    return parts


def _carve_validation(
    table: Table, parts: Indices, validation: float, rng: np.random.Generator, where: str
) -> None:
    """Takes the validation rows that the column does not name from the training rows."""
    rows = np.flatnonzero(parts == 0)
    share = min(validation * len(parts) / len(rows), 0.5)
    shares = (1 - share, share, 0.0)
    if table.schema.has(Role.GROUP):
        parts[rows], _ = _by_group(table, rows, shares, rng, where)
    else:
        parts[rows] = divide(_classes_among(table, rows), shares, rng)


def _check(parts: Indices, shares: Iterable[float], by: str, where: str) -> None:
    sizes = np.bincount(parts, minlength=3)
    asked = np.array([share > 0 for share in shares])
    if by == "column":
        fix = f"Mark some rows in the column {SPLIT_COLUMN!r}, or set the share to 0."
    else:
        fix = "Give more rows, or set the share to 0."
    empty = compress(_PARTS, asked & (sizes == 0))
    problems = [
        Problem(where, f"no rows are left for {name} ({len(parts)} rows in all)", fix=fix)
        for name in empty
    ]
    if problems:
        raise DataError(problems)
