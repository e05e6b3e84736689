"""Writers of rows: CSV, TSV, JSON Lines and Parquet, some rows at a time."""

import csv
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfuse.data.table import Table
from transfuse.errors import DataError, Problem

__all__ = ["RowWriter", "check_kind", "write_table", "writing"]

_ROWS = 10_000
"""Rows of a table that are written at a time."""


class RowWriter(AbstractContextManager["RowWriter"]):
    """Writes Arrow rows to a file; all calls of `write` have the same columns."""

    @abstractmethod
    def write(self, rows: pa.Table) -> None:
        """Write some rows.

        Args:
            rows: The rows.
        """


class _Text(RowWriter):
    """A writer of a text file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


class _Separated(_Text):
    """CSV and TSV, with a header; several labels of a cell stand between `|`."""

    def __init__(self, path: Path, separator: str) -> None:
        super().__init__(path)
        self._writer = csv.writer(self._file, delimiter=separator, lineterminator="\n")
        self._headed = False

    def write(self, rows: pa.Table) -> None:
        """See `RowWriter.write`."""
        if not self._headed:
            self._writer.writerow(rows.column_names)
            self._headed = True
        columns = [map(_cell, column.to_pylist()) for column in rows.columns]
        self._writer.writerows(zip(*columns, strict=True))


class _JsonLines(_Text):
    """One JSON object a line."""

    def write(self, rows: pa.Table) -> None:
        """See `RowWriter.write`."""
        for row in rows.to_pylist():
            self._file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


class _Parquet(RowWriter):
    """Parquet, one row group for each call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        """See `RowWriter.write`."""
        rows = rows.replace_schema_metadata(None)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, rows.schema)
        self._writer.write_table(rows.cast(self._writer.schema))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


_WRITERS: dict[str, Callable[[Path], RowWriter]] = {
    ".csv": lambda path: _Separated(path, ","),
    ".tsv": lambda path: _Separated(path, "\t"),
    ".tab": lambda path: _Separated(path, "\t"),
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
    ".parquet": _Parquet,
    ".pq": _Parquet,
}


def check_kind(path: Path) -> str:
    """The kind of a file that can be written: its suffix in lower case.

    Args:
        path: The file, which need not be there.

    Raises:
        DataError: If the suffix names no kind that can be written.
    """
    kind = path.suffix.lower()
    if kind not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise DataError(Problem(str(path), f"unknown kind of file {kind!r}", f"one of {known}"))
    return kind


@contextmanager
def writing(path: Path) -> Iterator[RowWriter]:
    """A writer of a new file, which is there whole when the block ends well, or not at all.

    Args:
        path: The file; its suffix says which kind.

    Raises:
        DataError: If the suffix names no kind that can be written.
    """
    kind = check_kind(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        with _WRITERS[kind](beside) as writer:
            yield writer
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_table(table: Table, path: Path) -> None:
    """Write a table to a file, whole or not at all.

    Args:
        table: The rows.
        path: The new file; its suffix says which kind.

    Raises:
        DataError: If the suffix names no kind that can be written.
    """
    with writing(path) as writer:
        for rows in table.dataset.with_format("arrow").iter(_ROWS):
            writer.write(rows)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "|".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value
