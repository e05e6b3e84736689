"""Cleaning: what is done to texts and which rows are left out, every time counted and shown.

Nothing is done silently: `clean` returns the cleaned table and a report that ends up in the data
card. The characters are mended first, in `transfuse.data.characters`; rows are then judged by
their mended text.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.characters import collapsed_spaces, normalised, without_controls
from transfuse.data.columns import WRITTEN
from transfuse.data.near import NearIndex
from transfuse.data.schema import Role
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["Cleaning", "CleaningReport", "clean"]

_SHOWN = 3
"""Examples kept of each kind of finding."""

_CUT = 60
"""Characters of a text that an example shows."""

_NAMED = 20
"""Conflicts that an error names one by one."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaning:
    """What is cleaned. Each step can be turned off.

    Raises:
        ValueError: If `near_duplicates` is not above 0 and at most 1.
    """

    unicode: Literal["NFC", "NFKC"] | None = "NFC"
    """Unicode form of texts. `NFC` gives one encoding to characters that look the same; `NFKC`
    also makes full-width letters and ligatures plain, which changes some signs. Default: NFC."""

    control: bool = True
    """Removes control characters except line breaks and tabs, and invisible leftovers (byte order
    mark, soft hyphen, zero-width space). Joiners, which hold emoji and Indic letters together,
    stay. Default: true."""

    whitespace: bool = True
    """Makes each run of white space one space, or one line break where it holds any, and trims the
    ends; the ideographic space counts. Default: true."""

    empty: bool = True
    """Leaves out rows without text. Default: true."""

    duplicates: bool = True
    """Keeps the first of rows with the same text and label. Default: true."""

    near_duplicates: float | None = None
    """Keeps the first of rows with the same label whose texts share at least this much of their
    runs of words (Jaccard similarity, above 0, at most 1). Default: none are looked for."""

    conflicts: Literal["drop", "keep", "error"] = "drop"
    """What happens to rows with the same text and different classes: all left out, all kept, or an
    error. Measured numbers never conflict. Default: drop."""

    def __post_init__(self) -> None:
        if self.near_duplicates is not None and not 0 < self.near_duplicates <= 1:
            raise ValueError(
                f"near_duplicates must be above 0 and at most 1, got {self.near_duplicates}"
            )


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did.

    Args:
        counts: Rows by what happened to them. `rows_before` and `rows_after`; texts changed:
            `unicode`, `control`, `whitespace`; rows left out: `empty`, `conflicts` (or
            `conflicts_kept`), `duplicates`, `near_duplicates`; and `near_conflicts`, rows near one
            with another label, which are kept. Steps that were turned off are absent.
        examples: Up to three examples of each, in words.
    """

    counts: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", MappingProxyType(dict(self.counts)))
        object.__setattr__(self, "examples", MappingProxyType(dict(self.examples)))

    def __reduce__(self) -> tuple[type["CleaningReport"], tuple[dict[str, Any], dict[str, Any]]]:
        # A study hands its cards to other processes, and a mapping proxy cannot be pickled.
        return type(self), (dict(self.counts), dict(self.examples))

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        examples = {name: list(shown) for name, shown in self.examples.items()}
        return {"counts": dict(self.counts), "examples": examples}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CleaningReport":
        """The report that `to_json` wrote."""
        return cls(data["counts"], {name: tuple(shown) for name, shown in data["examples"].items()})


def clean(table: Table, cleaning: Cleaning | None = None) -> tuple[Table, CleaningReport]:
    """Cleans the texts of a table and leaves out rows that would mislead.

    Args:
        table: The rows; columns other than texts are carried along unchanged.
        cleaning: What to do. Default: `Cleaning()`.

    Returns:
        The cleaned table, rows in their order, and what was done. Row numbers in the report are
        those of the given table, from 1.

    Raises:
        DataError: If no row is left, or if rows conflict and `conflicts` is `error`.
    """
    cleaning = cleaning or Cleaning()
    log = _Log({"rows_before": len(table)}, {})
    columns = [name for name, role in table.schema.roles.items() if role in WRITTEN]
    for name in columns:
        table = _mended(table, name, cleaning, log)
    if columns:
        kept = _judged(table, columns, cleaning, log)
        if not kept.any():
            done = ", ".join(f"{name} {count}" for name, count in log.counts.items())
            raise DataError(Problem(table.name, f"no row is left after cleaning ({done})"))
        table = table if kept.all() else table.filter(kept)
    log.counts["rows_after"] = len(table)
    return table, CleaningReport(log.counts, {name: tuple(x) for name, x in log.examples.items()})


@dataclass(frozen=True)
class _Log:
    """Counts and examples while they grow."""

    counts: dict[str, int]
    examples: dict[str, list[str]]

    def add(self, name: str, rows: Sequence[int], show: Callable[[int], str]) -> None:
        self.counts[name] = self.counts.get(name, 0) + len(rows)
        shown = self.examples.setdefault(name, [])
        shown += [f"row {row + 1}: {show(row)}" for row in rows[: _SHOWN - len(shown)]]
        if not shown:
            del self.examples[name]


def _mended(table: Table, name: str, cleaning: Cleaning, log: _Log) -> Table:
    """The table with the characters of one column mended."""
    stored = table.dataset.select_columns([name]).with_format("arrow")[:].column(0)
    steps: list[tuple[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = []
    if cleaning.unicode:
        form = cleaning.unicode
        steps.append(("unicode", lambda texts: normalised(texts, form)))
    if cleaning.control:
        steps.append(("control", without_controls))
    if cleaning.whitespace:
        steps.append(("whitespace", collapsed_spaces))
    texts = stored
    for step, mend in steps:
        before, texts = texts, mend(texts)
        changed = pc.indices_nonzero(pc.not_equal(before, texts)).to_pylist()
        log.add(step, changed, _change(before, texts))
    if texts.equals(stored):
        return table
    return table.with_column(name, texts.combine_chunks())


def _change(before: pa.ChunkedArray, after: pa.ChunkedArray) -> Callable[[int], str]:
    def show(row: int) -> str:
        old, new = before[row].as_py(), after[row].as_py()
        # Shown from shortly before the first difference, which may be far into a long text.
        same = next((at for at, (x, y) in enumerate(zip(old, new, strict=False)) if x != y), 0)
        start = max(0, min(same, len(new)) - 20)
        return f"{_shown(old[start:])} → {_shown(new[start:])}"

    return show


def _shown(text: str) -> str:
    # JSON's escapes make control characters visible, where printing them would do what they say.
    cut = text if len(text) <= _CUT else text[: _CUT - 1] + "…"
    quoted = json.dumps(cut, ensure_ascii=False)
    return "".join(x if x.isprintable() else f"\\u{ord(x):04x}" for x in quoted)


def _judged(table: Table, columns: Sequence[str], cleaning: Cleaning, log: _Log) -> Mask:
    """Which rows stay."""
    texts = ["\n".join(row) for row in zip(*map(table.values, columns), strict=True)]
    labels = _label_keys(table)
    kept = np.ones(len(texts), dtype=np.bool_)
    if cleaning.empty:
        empty = [row for row, text in enumerate(texts) if not text.strip()]
        kept[empty] = False
        log.add("empty", empty, lambda row: _shown(texts[row]))
    # Two measurements of one text differ without contradicting each other.
    if labels and not any(isinstance(label, float) for label in labels[0]):
        _conflicts(table.name, texts, labels, kept, cleaning.conflicts, log)
    if cleaning.duplicates:
        _duplicates(texts, labels, kept, log)
    if cleaning.near_duplicates is not None:
        _near_duplicates(texts, labels, kept, cleaning.near_duplicates, log)
    return kept


def _label_keys(table: Table) -> list[tuple[Any, ...]]:
    """One hashable value for each row's labels; the same for all rows of a table without labels."""
    columns = [map(_key, table.values(name)) for name in table.schema.columns(Role.LABEL)]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def _key(label: Any) -> Any:
    # The order in which a row names its several classes says nothing.
    return tuple(sorted(label)) if isinstance(label, list) else label


def _conflicts(
    where: str, texts: list[str], labels: list[tuple[Any, ...]], kept: Mask, action: str, log: _Log
) -> None:
    first: dict[str, int] = {}
    disputed: dict[str, int] = {}
    for row in np.flatnonzero(kept).tolist():
        before = first.setdefault(texts[row], row)
        if labels[row] != labels[before]:
            disputed.setdefault(texts[row], row)
    rows = [row for row in np.flatnonzero(kept).tolist() if texts[row] in disputed]
    if disputed and action == "error":
        pairs = [(first[text], row) for text, row in disputed.items()]
        fix = "Correct the labels, or say conflicts: drop, or keep."
        problems = [
            Problem(
                f"{where}, rows {i + 1} and {j + 1}",
                f"{_shown(texts[i])} is labelled {_said(labels[i])} and {_said(labels[j])}",
                "one label for one text",
                fix,
            )
            for i, j in pairs[:_NAMED]
        ]
        if len(pairs) > _NAMED:
            problems.append(Problem(where, f"{len(pairs) - _NAMED} more such texts"))
        raise DataError(problems)
    name = "conflicts" if action == "drop" else "conflicts_kept"
    log.add(name, rows, lambda row: f"{_shown(texts[row])} is labelled {_said(labels[row])}")
    if action == "drop":
        kept[rows] = False


def _duplicates(texts: list[str], labels: list[tuple[Any, ...]], kept: Mask, log: _Log) -> None:
    first: dict[tuple[str, tuple[Any, ...]], int] = {}
    again = [
        row
        for row in np.flatnonzero(kept).tolist()
        if first.setdefault((texts[row], labels[row]), row) != row
    ]
    kept[again] = False
    log.add(
        "duplicates",
        again,
        lambda row: f"{_shown(texts[row])} as in row {first[texts[row], labels[row]] + 1}",
    )


def _near_duplicates(
    texts: list[str], labels: list[tuple[Any, ...]], kept: Mask, threshold: float, log: _Log
) -> None:
    index = NearIndex(threshold)
    dropped: dict[int, tuple[int, float]] = {}
    disputed: dict[int, tuple[int, float]] = {}
    for row in np.flatnonzero(kept).tolist():
        other = None
        for i, similarity in index.near(texts[row]):
            if labels[i] == labels[row]:
                dropped[row] = i, similarity
                break
            other = other or (i, similarity)
        else:
            # A word such as "not" may be all that differs, so another label speaks for keeping.
            if other:
                disputed[row] = other
            index.add(row, texts[row])
    kept[list(dropped)] = False
    log.add("near_duplicates", list(dropped), _likeness(texts, dropped))
    log.add("near_conflicts", list(disputed), _likeness(texts, disputed))


def _likeness(texts: list[str], found: Mapping[int, tuple[int, float]]) -> Callable[[int], str]:
    def show(row: int) -> str:
        i, similarity = found[row]
        return f"{_shown(texts[row])} is {similarity:.0%} like row {i + 1}: {_shown(texts[i])}"

    return show


def _said(labels: tuple[Any, ...]) -> str:
    return " / ".join(map(repr, labels))
