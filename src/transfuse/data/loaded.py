"""What a reader hands on before roles are known: the columns, and how to name a row's place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from transfuse.errors import DataError, Problem

__all__ = ["Findings", "Loaded", "Mixed", "ReadOptions"]

_SHOWN = 20
"""Bad rows that are shown one by one; the others are counted."""


@dataclass(frozen=True)
class ReadOptions:
    """How a table is read; `transfuse.data.read` describes each option."""

    encoding: str = "utf-8"
    max_cell: int = 1_000_000
    label_separator: str | None = "|"
    label_names: bool = False
    quotes: bool = True
    in_memory_bytes: int = 64_000_000


class Findings:
    """Bad rows that were found so far: the first of each check whole, the others as a count."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: set[int] = set()
        self._items: list[tuple[int, Problem]] = []

    def add(self, row: int, problem: Problem) -> None:
        """Notes a bad row; rows come in ascending order."""
        self.count += 1
        self.rows.add(row)
        if self.count <= _SHOWN:
            self._items.append((row, problem))

    def add_all(self, rows: Sequence[int], make: Callable[[Sequence[int]], list[Problem]]) -> None:
        """Notes rows that one check found bad, except those that are known to be bad already.

        Args:
            rows: Row numbers from 0, ascending.
            make: The problems of the rows that will be shown.
        """
        fresh = [row for row in rows if row not in self.rows] if self.rows else list(rows)
        self.count += len(fresh)
        self._items += zip(fresh[:_SHOWN], make(fresh[:_SHOWN]), strict=True)

    def problems(self, where: str) -> list[Problem]:
        """The first bad rows in their order, and the count of the rest."""
        items = sorted(self._items, key=lambda item: item[0])[:_SHOWN]
        problems = [problem for _, problem in items]
        rest = self.count - len(problems)
        if rest:
            problems.append(Problem(where, f"{rest:,} more problem{'s' * (rest > 1)}"))
        return problems

    def raise_any(self, where: str) -> None:
        """Raises DataError with all that was found, if anything was."""
        if self.count:
            raise DataError(self.problems(where))


@dataclass(frozen=True)
class Mixed:
    """A column whose values are of several kinds.

    Args:
        expected: The kind that most rows have, in words.
        others: Row number from 0, and what stands there, for the rows of other kinds (the first
            ones of each kind).
        count: How many rows are of other kinds.
    """

    expected: str
    others: tuple[tuple[int, str], ...]
    count: int


def _plain_rows(rows: Sequence[int]) -> list[str]:
    return [f"row {row + 1}" for row in rows]


@dataclass(frozen=True)
class Loaded:
    """Columns as a reader found them.

    Args:
        dataset: The columns.
        name: What to call the table in messages.
        places: Names the places of rows (numbers from 0) for messages. Default: "row 1" and so on.
        notes: What the reader assumed. Default: nothing.
        untyped: Whether each cell is text only because the format knows nothing else (CSV).
        mixed: Columns with values of several kinds; they are held as text.
        findings: Bad rows that the reader met.
        folder: What paths in the columns are relative to. Default: where the process runs.
    """

    dataset: datasets.Dataset
    name: str
    places: Callable[[Sequence[int]], list[str]] = _plain_rows
    notes: tuple[str, ...] = ()
    untyped: bool = False
    mixed: dict[str, Mixed] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    folder: Path | None = None
