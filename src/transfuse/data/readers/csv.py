"""CSV and TSV: Python's strict parser, with every broken row found and named.

`records` is the place to start. It yields one entry for each record, good or bad, so that row
numbers mean the same thing to the first reading and to the search for a row's line in a message.
"""

import csv
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Findings, Loaded, ReadOptions
from transfuse.data.readers.quotes import Record, looks_swallowed, quote_problem
from transfuse.data.readers.sink import Sink, stored_table
from transfuse.data.readers.text import LineSource, check_encoding, check_text, open_text
from transfuse.errors import DataError, Problem

__all__ = ["load_csv", "records"]

_CELL_LIMIT = 64_000_000
"""Characters after which a quote counts as never closed."""

_BATCH_CHARACTERS = 8_000_000
_BATCH_ROWS = 20_000

_csv_limit = threading.Lock()
"""Guards the parser's cell limit, which Python keeps once for the whole process."""


@contextmanager
def _long_cells(options: ReadOptions) -> Iterator[None]:
    with _csv_limit:
        before = csv.field_size_limit(max(_CELL_LIMIT, 2 * options.max_cell))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def load_csv(path: Path, options: ReadOptions, separator: str) -> Loaded:
    """Reads a file of separated values.

    Args:
        path: The file.
        options: Encoding, quotes, and how much is kept in memory.
        separator: What stands between cells. A file with `,` whose header has none, but has `;`
            or tabs, is read with these, and a note says so.

    Returns:
        All cells as text; bad rows are in its findings, padded to the header's width.

    Raises:
        DataError: If there is no header, the header is unusable, or bytes cannot be decoded.
    """
    check_encoding(path, options.encoding)
    findings = Findings()
    try:
        header, separator, notes = _header(path, options, separator)
        convert = partial(_convert, path, options, separator, header, findings)
        with _long_cells(options):
            table = stored_table(path, options, convert)
    except UnicodeError:
        check_text(path, options.encoding)
        raise
    places = partial(_places, path, options, separator)
    dataset = new_dataset(table)
    return Loaded(dataset, path.name, places, notes, untyped=True, findings=findings)


def records(path: Path, options: ReadOptions, separator: str) -> Generator[Record, None, None]:
    """Every record of a file, the header first; blank lines between records are skipped.

    Args:
        path: The file.
        options: Encoding and quotes.
        separator: What stands between cells.

    Yields:
        The record's first line, its cells, its lines, and what is wrong with its quotes.
    """
    with open_text(path, options.encoding) as file:
        lines = LineSource(file)
        if options.quotes:
            reader = csv.reader(lines, delimiter=separator, strict=True)
        else:
            reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
        while True:
            lines.start()
            first = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                taken = list(lines.taken)
                lines.back()
                yield Record(first, [], taken, str(error))
                continue
            if cells:
                yield Record(first, cells, lines.taken)


def _header(
    path: Path, options: ReadOptions, separator: str
) -> tuple[list[str], str, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    with open_text(path, options.encoding) as file:
        line = next((line for line in file if line.strip()), "")
    if separator == "," and "," not in line:
        for other, word in ((";", "semicolons"), ("\t", "tabs")):
            if other in line:
                separator = other
                notes = (f"{path.name}: cells are separated by {word}, as in the header.",)
                break
    with closing(records(path, options, separator)) as found:
        record = next(found, None)
    if record is None:
        raise DataError(Problem(path.name, "the file is empty", "a header and at least one row"))
    where = f"{path.name}, header (line {record.line})"
    if record.error:
        raise DataError(quote_problem(record, path.name, where, [], separator))
    names = [name.strip() or f"column_{at}" for at, name in enumerate(record.cells, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(map(repr, twice))
        fix = "Rename them in the header."
        what = f"more than one column named {listed}"
        raise DataError(Problem(where, what, "one of each name", fix))
    if any("\0" in name for name in names):
        raise DataError(Problem(where, "a NUL byte", "text", _NUL_FIX))
    return names, separator, notes


def _convert(
    path: Path,
    options: ReadOptions,
    separator: str,
    header: Sequence[str],
    findings: Findings,
    sink: Sink,
) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in header])
    rows: list[list[str]] = []
    width, characters = len(header), 0
    check = partial(_row_problem, path.name, header, separator)
    with closing(records(path, options, separator)) as found:
        next(found)
        for number, record in enumerate(found):
            cells = record.cells
            if len(cells) != width or len(record.lines) > 1 or "\0" in record.lines[0]:
                problem = check(number, record)
                if problem:
                    findings.add(number, problem)
                    # The row keeps its place, so that later rows keep their numbers.
                    cells = [*cells, *[""] * width][:width]
            rows.append(cells)
            characters += sum(map(len, record.lines))
            if characters > _BATCH_CHARACTERS or len(rows) >= _BATCH_ROWS:
                sink.write(_batch(rows, schema))
                rows, characters = [], 0
    if rows:
        sink.write(_batch(rows, schema))
    return sink.finish(schema, keep=not findings.count)


_NUL_FIX = "Remove it; the file may be damaged, or in another encoding."


def _row_problem(
    name: str, header: Sequence[str], separator: str, number: int, record: Record
) -> Problem | None:
    where = f"{name}, row {number + 1} (line {record.line})"
    if record.error:
        return quote_problem(record, name, where, header, separator)
    for at, cell in enumerate(record.cells):
        if "\0" in cell:
            column = header[at] if at < len(header) else str(at + 1)
            return Problem(f"{where}, column {column!r}", "a NUL byte", "text", _NUL_FIX)
    if looks_swallowed(record, len(header), separator):
        return quote_problem(record, name, where, header, separator)
    if len(record.cells) == len(header):
        return None
    few = len(record.cells) < len(header)
    fix = (
        f"The row has no value for {header[len(record.cells)]!r}."
        if few
        else f'Put cells that contain {separator!r} into double quotes: "a{separator} b".'
    )
    what = f"{len(record.cells)} cells" if len(record.cells) != 1 else "1 cell"
    return Problem(where, what, f"{len(header)}, as in the header", fix)


def _batch(rows: Sequence[Sequence[str]], schema: pa.Schema) -> pa.RecordBatch:
    columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema)


def _places(path: Path, options: ReadOptions, separator: str, rows: Sequence[int]) -> list[str]:
    """Finds the lines of some rows by reading the file again, which only bad files cost."""
    wanted = set(rows)
    lines: dict[int, int] = {}
    with _long_cells(options), closing(records(path, options, separator)) as found:
        next(found)
        for number, record in enumerate(found):
            if number in wanted:
                lines[number] = record.line
                if len(lines) == len(wanted):
                    break
    return [f"row {row + 1} (line {lines[row]})" for row in rows]
