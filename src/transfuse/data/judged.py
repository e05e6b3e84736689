"""Which rows cleaning keeps: those with something to read, that do not repeat or contradict."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.contents import Contents, NearRows, contents_of
from transfuse.data.schema import Role
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["Judging", "Log", "judged", "quoted"]

_SHOWN = 3
"""Examples kept of each kind of finding."""

_CUT = 60
"""Characters of a text that an example shows."""

_NAMED = 20
"""Conflicts that an error names one by one."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Log:
    """Counts and examples while they grow.

    Args:
        counts: Rows by what happened to them.
        examples: Examples of each, in words.
    """

    counts: dict[str, int]
    examples: dict[str, list[str]]

    def add(self, name: str, rows: Sequence[int], show: Callable[[int], str]) -> None:
        """Counts rows, and keeps the first as examples.

        Args:
            name: What happened.
            rows: The rows, from 0.
            show: A row in words.
        """
        self.counts[name] = self.counts.get(name, 0) + len(rows)
        shown = self.examples.setdefault(name, [])
        shown += [f"row {row + 1}: {show(row)}" for row in rows[: _SHOWN - len(shown)]]
        if not shown:
            del self.examples[name]


@dataclass(frozen=True)
class Judging:
    """By what rows are left out; `Cleaning` describes each option."""

    empty: bool
    duplicates: bool
    near_duplicates: float | None
    conflicts: str


def quoted(text: str) -> str:
    """A text as examples show it: cut, with control characters made visible."""
    cut = text if len(text) <= _CUT else text[: _CUT - 1] + "…"
    # JSON's escapes make control characters visible, where printing them would do what they say.
    quoted = json.dumps(cut, ensure_ascii=False)
    return "".join(x if x.isprintable() else f"\\u{ord(x):04x}" for x in quoted)


def judged(table: Table, by: Judging, log: Log) -> Mask | None:
    """Which rows stay.

    Args:
        table: The rows, their texts mended.
        by: By what they are judged.
        log: Where what is left out is counted.

    Returns:
        A mask of the rows, bool [rows]; None for a table without texts and files, of which equal
        rows are no mistake.

    Raises:
        DataError: If rows conflict and that is an error.
    """
    contents = contents_of(table)
    if not contents:
        return None
    labels = _label_keys(table)
    kept = np.ones(len(table), dtype=np.bool_)
    if by.empty:
        empty = [row for row in range(len(table)) if contents.empty(row)]
        kept[empty] = False
        log.add("empty", empty, lambda row: contents.shown(row, quoted))
    rows = _Rows(table.name, contents, contents.keys(), labels, kept, log)
    # Two measurements of one text differ without contradicting each other.
    if labels and not any(isinstance(label, float) for label in labels[0]):
        rows.conflicts(by.conflicts)
    if by.duplicates:
        rows.duplicates()
    if by.near_duplicates is not None and contents.comparable:
        rows.near_duplicates(by.near_duplicates)
    return kept


def _label_keys(table: Table) -> list[tuple[Any, ...]]:
    """One hashable value for each row's labels; the same for all rows of a table without labels."""
    columns = [map(_key, table.values(name)) for name in table.schema.columns(Role.LABEL)]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def _key(label: Any) -> Any:
    # The order in which a row names its several classes says nothing.
    return tuple(sorted(label)) if isinstance(label, list) else label


@dataclass(frozen=True)
class _Rows:
    """Rows while they are judged."""

    name: str
    contents: Contents
    keys: list[Hashable]
    labels: list[tuple[Any, ...]]
    kept: Mask
    log: Log

    def _shown(self, row: int) -> str:
        return self.contents.shown(row, quoted)

    def _staying(self) -> list[int]:
        return [int(row) for row in np.flatnonzero(self.kept)]

    def conflicts(self, action: str) -> None:
        """Finds rows of one content and several labels."""
        keys, labels = self.keys, self.labels
        first: dict[Hashable, int] = {}
        disputed: dict[Hashable, int] = {}
        for row in self._staying():
            before = first.setdefault(keys[row], row)
            if labels[row] != labels[before]:
                disputed.setdefault(keys[row], row)
        rows = [row for row in self._staying() if keys[row] in disputed]
        if disputed and action == "error":
            raise self._contradiction([(first[key], row) for key, row in disputed.items()])
        name = "conflicts" if action == "drop" else "conflicts_kept"
        self.log.add(name, rows, lambda row: f"{self._shown(row)} is labelled {_said(labels[row])}")
        if action == "drop":
            self.kept[rows] = False

    def _contradiction(self, pairs: list[tuple[int, int]]) -> DataError:
        fix = "Correct the labels, or say conflicts: drop, or keep."
        what = "text" if self.contents.written_only else "content"
        problems = [
            Problem(
                f"{self.name}, rows {i + 1} and {j + 1}",
                f"{self._shown(i)} is labelled {_said(self.labels[i])} and {_said(self.labels[j])}",
                f"one label for one {what}",
                fix,
            )
            for i, j in pairs[:_NAMED]
        ]
        if len(pairs) > _NAMED:
            problems.append(Problem(self.name, f"{len(pairs) - _NAMED} more such {what}s"))
        return DataError(problems)

    def duplicates(self) -> None:
        """Leaves out rows whose content and label an earlier one has."""
        keys, labels = self.keys, self.labels
        first: dict[tuple[Hashable, tuple[Any, ...]], int] = {}
        again = [
            row for row in self._staying() if first.setdefault((keys[row], labels[row]), row) != row
        ]
        self.kept[again] = False
        self.log.add(
            "duplicates",
            again,
            lambda row: f"{self._shown(row)} as in row {first[keys[row], labels[row]] + 1}",
        )

    def near_duplicates(self, threshold: float) -> None:
        """Leaves out rows that are nearly an earlier one of the same label."""
        index = NearRows(threshold, self.contents.pictures is not None)
        dropped: dict[int, tuple[int, float]] = {}
        disputed: dict[int, tuple[int, float]] = {}
        for row, text, look in self.contents.looks(self._staying()):
            other = None
            for i, similarity in index.near(text, look):
                if self.labels[i] == self.labels[row]:
                    dropped[row] = i, similarity
                    break
                other = other or (i, similarity)
            else:
                # A word such as "not" may be all that differs, so another label speaks for keeping.
                if other:
                    disputed[row] = other
                index.add(row, text, look)
        self.kept[list(dropped)] = False
        self.log.add("near_duplicates", list(dropped), self._likeness(dropped))
        self.log.add("near_conflicts", list(disputed), self._likeness(disputed))

    def _likeness(self, found: Mapping[int, tuple[int, float]]) -> Callable[[int], str]:
        def show(row: int) -> str:
            i, similarity = found[row]
            return f"{self._shown(row)} is {similarity:.0%} like row {i + 1}: {self._shown(i)}"

        return show


def _said(labels: tuple[Any, ...]) -> str:
    return " / ".join(map(repr, labels))
