"""Cleaning: what is done to texts and which rows are left out, every time counted and shown.

Nothing is done silently: `clean` returns the cleaned table and a report that ends up in the data
card. The characters are mended first, in `transfuse.data.characters`; rows are then judged, in
`transfuse.data.judged`, by their mended text and by the content of their files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.characters import collapsed_spaces, normalised, without_controls
from transfuse.data.columns import WRITTEN
from transfuse.data.judged import Judging, Log, judged, quoted
from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["Cleaning", "CleaningReport", "clean"]


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
    """Keeps the first of rows with the same text, or file, and label. Default: true."""

    near_duplicates: float | None = None
    """Keeps the first of rows with the same label whose texts share at least this much of their
    runs of words (Jaccard similarity, above 0, at most 1). With any number, pictures are compared
    by their perceptual hash. Default: none are looked for."""

    conflicts: Literal["drop", "keep", "error"] = "drop"
    """What happens to rows with the same text, or file, and different classes: all left out, all
    kept, or an error. Measured numbers never conflict. Default: drop."""

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
    log = Log({"rows_before": len(table)}, {})
    for name in [name for name, role in table.schema.roles.items() if role in WRITTEN]:
        table = _mended(table, name, cleaning, log)
    by = Judging(cleaning.empty, cleaning.duplicates, cleaning.near_duplicates, cleaning.conflicts)
    kept = judged(table, by, log)
    if kept is not None:
        if not kept.any():
            done = ", ".join(f"{name} {count}" for name, count in log.counts.items())
            raise DataError(Problem(table.name, f"no row is left after cleaning ({done})"))
        table = table if kept.all() else table.filter(kept)
    log.counts["rows_after"] = len(table)
    return table, CleaningReport(log.counts, {name: tuple(x) for name, x in log.examples.items()})


def _mended(table: Table, name: str, cleaning: Cleaning, log: Log) -> Table:
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
        return f"{quoted(old[start:])} → {quoted(new[start:])}"

    return show
