"""Rows of one table that are in another: test rows that were trained on, target rows in the source.

A score on such rows says what a model remembers rather than what it can do.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from transfuse.data.columns import WRITTEN
from transfuse.data.contents import Contents, NearRows, contents_of
from transfuse.data.near import folded
from transfuse.data.schema import Role
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["Overlap", "overlap", "overlap_within"]


@dataclass(frozen=True)
class Overlap:
    """Pairs of rows, one of each table, with the same content.

    Args:
        exact: For each row j of the second table whose content stands in the first, (i, j) with
            the first such row i; texts are equal up to case, white space and Unicode form, files
            to the byte. Rising in j.
        near: For each other row j with near content in the first table, (i, j) with the first such
            row i that was found. Rising in j.
    """

    exact: tuple[tuple[int, int], ...]
    near: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the second table that are in the first, exactly or nearly; rising."""
        return tuple(sorted(j for _, j in (*self.exact, *self.near)))

    def __len__(self) -> int:
        return len(self.exact) + len(self.near)


def overlap(a: Table, b: Table, *, threshold: float | None = 0.9) -> Overlap:
    """Finds the rows of `b` whose content is in `a`: texts, pictures and sounds that both have.

    Args:
        a: For instance the training rows, or the source.
        b: For instance the test rows, or the target.
        threshold: Least Jaccard similarity of the runs of words (`transfuse.data.near`) of a near
            pair, above 0, at most 1; pictures are near by `transfuse.data.images.near`, whatever
            the number. None looks for exact pairs only. Default: 0.9.

    Returns:
        The pairs, at most one for each row of `b`; none for tables of fields alone, of which rows
        are often equal.

    Raises:
        DataError: If the tables have no text, pictures or sounds in common.
        ValueError: If the threshold is out of range.
    """
    if _fields_alone(a) and _fields_alone(b):
        return Overlap(())
    of_a, of_b = _compared(a, b)
    first: dict[Hashable, int] = {}
    for row, key in enumerate(of_a.keys(folded)):
        first.setdefault(key, row)
    places = [first.get(key) for key in of_b.keys(folded)]
    exact = tuple((i, j) for j, i in enumerate(places) if i is not None)
    if threshold is None or not of_a.comparable:
        return Overlap(exact)
    index = NearRows(threshold, of_a.pictures is not None)
    # What occurs often in `a` is indexed once.
    for row, text, look in of_a.looks(list(first.values())):
        index.add(row, text, look)
    near = []
    for j, text, look in of_b.looks([j for j, i in enumerate(places) if i is None]):
        if found := next(index.near(text, look), None):
            near.append((found[0], j))
    return Overlap(exact, tuple(near))


def overlap_within(
    table: Table, parts: Sequence[Any] | None = None, *, threshold: float = 0.9
) -> Overlap:
    """Finds rows of a table that an earlier row is the same as, or nearly.

    Args:
        table: The rows.
        parts: The part of each row, such as its split; pairs inside one part do not count.
            Default: all pairs count.
        threshold: As for `overlap`. Default: 0.9.

    Returns:
        The pairs (i, j) with i before j, at most one for each row j.

    Raises:
        DataError: If the table has no text, pictures or sounds.
        ValueError: If the threshold is out of range.
    """
    contents, _ = _compared(table, table)
    first: dict[Hashable, dict[Any, int]] = {}
    exact: dict[int, int] = {}
    for row, key in enumerate(contents.keys(folded)):
        before = first.setdefault(key, {})
        part = None if parts is None else parts[row]
        others = [i for other, i in before.items() if parts is None or other != part]
        if others:
            exact[row] = min(others)
        before.setdefault(part, row)
    near = _near_within(contents, exact, parts, threshold) if contents.comparable else []
    return Overlap(tuple((i, j) for j, i in exact.items()), tuple(near))


def _near_within(
    contents: Contents, exact: dict[int, int], parts: Sequence[Any] | None, threshold: float
) -> list[tuple[int, int]]:
    pictures = contents.pictures is not None
    indexes: dict[Any, NearRows] = {}
    near = []
    count = len(contents.keys())
    for row, text, look in contents.looks(range(count)):
        part = None if parts is None else parts[row]
        asked = [index for other, index in indexes.items() if parts is None or other != part]
        found = [hit for index in asked if (hit := next(index.near(text, look), None))]
        if found and row not in exact:
            near.append((max(found, key=lambda hit: hit[1])[0], row))
        if part not in indexes:
            indexes[part] = NearRows(threshold, pictures)
        indexes[part].add(row, text, look)
    return near


def _fields_alone(table: Table) -> bool:
    return table.schema.has(Role.FIELDS) and table.reads == (Role.FIELDS,)


def _compared(a: Table, b: Table) -> tuple[Contents, Contents]:
    """What both tables have, of their rows."""
    wanted = (*WRITTEN, Role.IMAGE, Role.AUDIO)
    # A pair of texts is called by other roles in one table than one text in another.
    shared = [role for role in wanted if a.schema.has(role) and b.schema.has(role)]
    roles = [*shared, *WRITTEN] if not set(shared) - set(WRITTEN) else shared
    for table in (a, b):
        if not any(map(table.schema.has, roles)):
            problem = Problem(table.name, "no column holds text", "a column of text to compare")
            raise DataError(problem)
    return contents_of(a, roles), contents_of(b, roles)
