"""JSON Lines, and JSON files that hold a table.

A JSON Lines file is read twice: first to survey which keys there are and of what kinds, then to
write them as typed columns, so that neither the types nor the memory depend on the file's length.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Findings, Loaded, Mixed, ReadOptions
from transfuse.data.readers.memory import load_columns
from transfuse.data.readers.sink import Sink, stored_table
from transfuse.data.readers.text import check_encoding, check_text, open_text
from transfuse.data.readers.values import Survey, shown, to_arrow
from transfuse.errors import DataError, Problem

__all__ = ["load_json", "load_json_lines"]

_BATCH_ROWS = 10_000

_FORM = '[{"text": ..., "label": ...}, ...] or {"text": [...], "label": [...]}'

Row = dict[str, Any]
Parsed = tuple[int, Row | Problem]


def load_json_lines(path: Path, options: ReadOptions) -> Loaded:
    """Reads a file with one JSON object a line.

    Args:
        path: The file.
        options: Encoding, and how much is kept in memory.

    Returns:
        Typed columns, one for each key of any line; bad lines are in the findings.

    Raises:
        DataError: If the file is empty or bytes cannot be decoded.
    """
    check_encoding(path, options.encoding)
    try:
        return _load_rows(path, options, partial(_lines, path, options))
    except UnicodeError:
        check_text(path, options.encoding)
        raise


def load_json(path: Path, options: ReadOptions) -> Loaded:
    """Reads a JSON file: a list of objects, or an object of columns; it is held in memory.

    Args:
        path: The file. One that holds JSON Lines is read as such.
        options: Encoding.

    Returns:
        Typed columns.

    Raises:
        DataError: If the file is not JSON or does not hold a table.
    """
    check_encoding(path, options.encoding)
    try:
        with open_text(path, options.encoding) as file:
            content = json.load(file)
    except UnicodeError:
        check_text(path, options.encoding)
        raise
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and error.lineno > 1:
            return load_json_lines(path, options)
        where = f"{path.name}, line {error.lineno}, character {error.colno}"
        raise DataError(Problem(where, f"not JSON ({error.msg})", _FORM)) from None
    except (RecursionError, ValueError) as error:
        what = f"JSON that cannot be read ({error})"
        raise DataError(Problem(path.name, what, _FORM)) from None
    if isinstance(content, dict):
        inner = [part for part in content.values() if _is_rows(part)]
        if len(content) == 1 and inner:
            content = inner[0]
    if isinstance(content, dict) and all(isinstance(part, list) for part in content.values()):
        return load_columns(content, path.name)
    if not _is_rows(content):
        raise DataError(Problem(path.name, f"the file holds {shown(content)}", _FORM))
    parsed = partial(_objects, path.name, content)
    return _load_rows(path, options, parsed)


def _is_rows(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(row, dict) for row in content)


def _load_rows(path: Path, options: ReadOptions, rows: Callable[[], Iterator[Parsed]]) -> Loaded:
    findings = Findings()
    surveys: dict[str, Survey] = {}
    present: dict[str, int] = {}
    total = 0
    for number, (_, row) in enumerate(rows()):
        total += 1
        if isinstance(row, Problem):
            findings.add(number, row)
            continue
        for key, value in row.items():
            if key not in surveys:
                surveys[key] = Survey()
                present[key] = 0
            surveys[key].add(number, value)
            present[key] += 1
    settled = {key: survey.settle() for key, survey in surveys.items()}
    table = _stored(
        path, options, rows, {key: kind for key, (kind, _) in settled.items()}, findings
    )
    mixed: dict[str, Mixed] = {key: found for key, (_, found) in settled.items() if found}
    notes = _key_notes(path.name, present, total - findings.count)
    places = partial(_places, rows)
    return Loaded(new_dataset(table), path.name, places, notes, mixed=mixed, findings=findings)


def _stored(
    path: Path,
    options: ReadOptions,
    rows: Callable[[], Iterator[Parsed]],
    kinds: Mapping[str, pa.DataType | None],
    findings: Findings,
) -> pa.Table:
    schema = pa.schema([(key, kind or pa.string()) for key, kind in kinds.items()])

    def convert(sink: Sink) -> pa.Table:
        batch: list[Row] = []
        for _, row in rows():
            # A bad row keeps its place, so that later rows keep their numbers.
            batch.append({} if isinstance(row, Problem) else row)
            if len(batch) == _BATCH_ROWS:
                sink.write(_batch(batch, schema))
                batch = []
        if batch and kinds:
            sink.write(_batch(batch, schema))
        return sink.finish(schema, keep=not findings.count)

    return stored_table(path, options, convert)


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns = [to_arrow([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.record_batch(columns, schema=schema)


def _lines(path: Path, options: ReadOptions) -> Iterator[Parsed]:
    count = 0
    with open_text(path, options.encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            count += 1
            yield number, _parse(line, f"{path.name}, row {count} (line {number})")


def _parse(line: str, where: str) -> Row | Problem:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        found = "a NUL byte" if "\0" in line else f"not JSON ({error.msg})"
        return Problem(f"{where}, character {error.colno}", found, "one JSON object on the line")
    except (RecursionError, ValueError) as error:
        # Nested beyond Python's depth, or a number of more than 4,300 digits.
        return Problem(where, f"JSON that cannot be read ({error})", "one flat JSON object")
    return _check(row, where, "\\ud" in line or "\\uD" in line)


def _objects(name: str, content: Sequence[Any]) -> Iterator[Parsed]:
    for number, row in enumerate(content, start=1):
        yield number, _check(row, f"{name}, row {number}", escapes=True)


def _check(row: Any, where: str, escapes: bool) -> Row | Problem:
    if not isinstance(row, dict):
        return Problem(where, f"{shown(row)} instead of an object", '{"text": ..., "label": ...}')
    if escapes:
        for key, value in row.items():
            # JSON can write half a character ("\ud83d" alone), which no text can hold.
            if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                column = f"{where}, column {key!r}"
                return Problem(column, "half of a character (a lone surrogate)", "Unicode text")
    return row


def _key_notes(name: str, present: Mapping[str, int], total: int) -> tuple[str, ...]:
    return tuple(
        f"{name}: key {key!r} stands in {count:,} of {total:,} rows; it is empty in the others."
        for key, count in present.items()
        if count < total
    )


def _places(rows: Callable[[], Iterator[Parsed]], wanted: Sequence[int]) -> list[str]:
    last = max(wanted)
    usual: set[str] = set()
    found: dict[int, str] = {}
    for number, (line, row) in enumerate(rows()):
        keys = set() if isinstance(row, Problem) else set(row)
        usual = usual or keys
        if number in wanted:
            # A misspelt key is why a value is missing, so keys unlike the first row's are shown.
            strange = (
                f", with the keys {', '.join(map(repr, sorted(keys)))}" if keys - usual else ""
            )
            found[number] = f"row {number + 1} (line {line}{strange})"
        if number == last:
            break
    return [found[number] for number in wanted]
