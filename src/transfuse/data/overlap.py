"""Rows of one table that are in another: test rows that were trained on, target rows in the source.

A score on such rows says what a model remembers rather than what it can do.
"""

from dataclasses import dataclass

from transfuse.data.columns import WRITTEN
from transfuse.data.near import NearIndex, folded
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["Overlap", "overlap"]


@dataclass(frozen=True)
class Overlap:
    """Pairs of rows, one of each table, with the same text.

    Args:
        exact: For each row j of the second table whose text stands in the first, (i, j) with the
            first such row i; equal up to case, white space and Unicode form. Rising in j.
        near: For each other row j with a near text in the first table, (i, j) with the first such
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
    """Finds the rows of `b` whose text is in `a`.

    Args:
        a: For instance the training rows, or the source.
        b: For instance the test rows, or the target.
        threshold: Least Jaccard similarity of the runs of words (`transfuse.data.near`) of a near
            pair, above 0, at most 1; None looks for exact pairs only. Default: 0.9.

    Returns:
        The pairs, at most one for each row of `b`.

    Raises:
        DataError: If a table has no text.
        ValueError: If the threshold is out of range.
    """
    texts_a, texts_b = _texts(a), _texts(b)
    first: dict[str, int] = {}
    for row, text in enumerate(texts_a):
        first.setdefault(folded(text), row)
    places = [first.get(folded(text)) for text in texts_b]
    exact = tuple((i, j) for j, i in enumerate(places) if i is not None)
    if threshold is None:
        return Overlap(exact)
    index = NearIndex(threshold)
    # A text that occurs often in `a` is indexed once.
    for row in first.values():
        index.add(row, texts_a[row])
    near = []
    for j, text in enumerate(texts_b):
        if places[j] is None and (found := next(index.near(text), None)):
            near.append((found[0], j))
    return Overlap(exact, tuple(near))


def _texts(table: Table) -> list[str]:
    """The written text of each row; several columns as one text."""
    columns = [name for name, role in table.schema.roles.items() if role in WRITTEN]
    if not columns:
        raise DataError(Problem(table.name, "no column holds text", "a column of text to compare"))
    if len(columns) == 1:
        return table.values(columns[0])
    return ["\n".join(row) for row in zip(*map(table.values, columns), strict=True)]
