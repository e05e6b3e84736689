"""Labels as they come in files, made into names, numbers, or lists of either; bad ones found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.columns import INTEGER, replaced, rows_where, stored_column
from transfuse.data.loaded import ReadOptions
from transfuse.errors import DataError, Problem

__all__ = ["Labels", "plain_labels", "read_labels"]

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

_MISSING = ("nan", "NaN", "NAN", "<NA>", "null", "NULL", "#N/A")
"""What programs write for a missing value."""

Finding = tuple[str, str, str]
"""What was found, what was expected, and how to mend it."""


@dataclass(frozen=True)
class Labels:
    """A label column, read.

    Args:
        dataset: The table with the column as it is to be used.
        bad: Rows, from 0, whose label cannot be used.
        describe: What is wrong with a bad row.
        notes: What was assumed.
    """

    dataset: datasets.Dataset
    bad: Sequence[int]
    describe: Callable[[int], Finding]
    notes: tuple[str, ...] = ()


def plain_labels(dataset: datasets.Dataset) -> datasets.Dataset:
    """Replaces the class numbers of a Hugging Face dataset by the names that it gives to them.

    Args:
        dataset: Any dataset.

    Returns:
        The same rows; -1, which marks a missing label there, becomes a missing value.
    """
    for name, feature in dataset.features.items():
        inner = getattr(feature, "feature", None)
        kind = feature if isinstance(feature, datasets.ClassLabel) else inner
        if not isinstance(kind, datasets.ClassLabel):
            continue
        names = kind.names

        def named(value: int | None, names: Sequence[str] = names) -> str | None:
            return None if value is None or value < 0 else names[value]

        stored = stored_column(dataset, name).to_pylist()
        text = datasets.Value("string")
        values: list[Any]
        if kind is feature:
            values = [named(value) for value in stored]
        else:
            values = [row if row is None else [named(item) for item in row] for row in stored]
            text = datasets.List(text)
        dataset = dataset.remove_columns([name]).add_column(name, values, feature=text)
    return dataset


def read_labels(
    dataset: datasets.Dataset, column: str, untyped: bool, options: ReadOptions
) -> Labels:
    """Reads one label column.

    Args:
        dataset: The table.
        column: The label's column.
        untyped: Whether the file knew text only, so that lists are written with a separator.
        options: The separator, and whether labels that look like numbers are names.

    Returns:
        The table with plain labels, and the rows whose label cannot be used.

    Raises:
        DataError: If the column is of a type that cannot be a label.
    """
    cells = stored_column(dataset, column)
    kind = cells.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        read = _Names(cells.cast(pa.string()), column, untyped, options).read()
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        read = _numbers(cells)
    elif pa.types.is_boolean(kind):
        named = pc.if_else(cells, "True", "False")
        note = f"label column {column!r} holds true and false; its classes are 'True' and 'False'."
        read = named, rows_where(pc.is_null(named)), _missing, (note,)
    elif pa.types.is_list(kind) and _is_plain(kind.value_type):
        holes = {row for row, label in enumerate(cells.to_pylist()) if _has_hole(label)}
        read = cells, sorted(holes), _missing, ()
    else:
        what = f"the label column holds {kind}"
        expected = "names, numbers or lists of them"
        raise DataError(Problem(f"column {column!r}", what, expected))
    values, bad, describe, notes = read
    if values is not cells:
        dataset = replaced(dataset, column, values)
    return Labels(dataset, bad, describe, notes)


Read = tuple[pa.ChunkedArray, list[int], Callable[[int], Finding], tuple[str, ...]]


def _numbers(cells: pa.ChunkedArray) -> Read:
    if pa.types.is_decimal(cells.type):
        cells = cells.cast(pa.float64())
    bad = pc.is_null(cells, nan_is_null=True)
    if pa.types.is_floating(cells.type):
        bad = pc.or_(bad, pc.fill_null(pc.is_inf(cells), False))

    def describe(row: int) -> Finding:
        value = cells[row].as_py()
        if value is None or value != value:
            return _missing(row)
        return f"the label is {value}", "a finite number", _FIX

    return cells, rows_where(bad), describe, ()


class _Names:
    """A label column that holds text."""

    def __init__(
        self, cells: pa.ChunkedArray, column: str, untyped: bool, options: ReadOptions
    ) -> None:
        self.column = column
        self.untyped = untyped
        self.options = options
        self.cells = pc.utf8_trim_whitespace(cells)
        self.trimmed = int(pc.sum(pc.not_equal(cells, self.cells)).as_py() or 0)

    def read(self) -> Read:
        notes = []
        if self.trimmed:
            rows = f"{self.trimmed:,} label{'s' * (self.trimmed > 1)}"
            notes.append(f"spaces around {rows} in column {self.column!r} were left out.")
        missing = pc.or_(pc.is_null(self.cells), pc.fill_null(pc.equal(self.cells, ""), False))
        if not self.options.label_names:
            marks = pc.is_in(self.cells, value_set=pa.array(_MISSING))
            missing = pc.or_(missing, marks)
        separator = self.options.label_separator
        if self.untyped and separator:
            several = pc.sum(pc.match_substring(self.cells, separator)).as_py() or 0
            if several:
                notes.append(
                    f"column {self.column!r} holds several labels a row, separated by "
                    f"{separator!r} ({several:,} rows with one; say label_separator=None if it "
                    "is part of a name)."
                )
                bad = rows_where(missing)
                return self._lists(separator), bad, self._describe, tuple(notes)
        if self.untyped and not self.options.label_names:
            missing = pc.or_(missing, self._stray(missing))
        return self.cells, rows_where(missing), self._describe, tuple(notes)

    def _stray(self, missing: pa.ChunkedArray) -> pa.ChunkedArray:
        """Names in a column that holds numbers in most rows."""
        numbers = pc.fill_null(pc.match_substring_regex(self.cells, _NUMBER), False)
        others = pc.invert(pc.or_(numbers, missing))
        # Ids such as "007" are numbers in all rows and names by intent; then nothing is stray.
        usual = (pc.sum(numbers).as_py() or 0) > (pc.sum(others).as_py() or 0)
        return others if usual else pc.and_(others, False)

    def _lists(self, separator: str) -> pa.ChunkedArray:
        rows = [
            None if cell is None else [part.strip() for part in cell.split(separator)]
            for cell in self.cells.to_pylist()
        ]
        # A separator alone means: no label at all.
        kept = [None if row is None else [part for part in row if part] for row in rows]
        flat = pa.array([part for row in kept if row for part in row], pa.string())
        whole = pc.all(pc.match_substring_regex(flat, INTEGER)).as_py()
        if whole and len(flat) and not self.options.label_names:
            numbered = [None if row is None else [int(part) for part in row] for row in kept]
            return pa.chunked_array([pa.array(numbered, pa.list_(pa.int64()))])
        return pa.chunked_array([pa.array(kept, pa.list_(pa.string()))])

    def _describe(self, row: int) -> Finding:
        value = self.cells[row].as_py()
        if not value:
            return _missing(row)
        if value in _MISSING:
            return (
                f"the label is {value!r}, which stands for a missing value",
                "a label in each row",
                _FIX + " If it is a name, say label_names=True.",
            )
        return (
            f"the label {value[:40]!r} is not a number",
            "a number, as in most rows",
            "Mend it, or say label_names=True if all labels are names.",
        )


_FIX = "Fill it in or leave the row out."


def _missing(_row: int) -> Finding:
    return "no label", "a label in each row", _FIX


def _has_hole(label: list[object] | None) -> bool:
    return label is None or any(item is None or item == "" for item in label)


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind))
