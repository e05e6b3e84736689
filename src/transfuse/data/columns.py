"""Arrow columns: made into datasets, numbers told from text, bad rows looked up."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.schema import Role

__all__ = [
    "INTEGER",
    "WRITTEN",
    "fresh_fingerprint",
    "new_dataset",
    "quiet",
    "replaced",
    "rows_where",
    "stored_column",
    "typed",
    "with_written",
]

INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
DECIMAL = r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"

WRITTEN = (Role.TEXT, Role.SOURCE, Role.TARGET)
"""Roles whose columns hold written text."""

_CHUNK = 1000
"""Rows of a chunk, on average, below which columns are put together."""

_CRUMB = 1_000_000
"""Bytes of a chunk, on average, from which it is none of the crumbs."""


def new_dataset(columns: pa.Table) -> datasets.Dataset:
    """Arrow columns as a dataset, without copying them but where they lie in crumbs.

    Args:
        columns: The columns; memory-mapped ones stay so.

    Returns:
        The dataset.
    """
    plain = columns.replace_schema_metadata(None)
    for place, field in enumerate(plain.schema):
        if pa.types.is_dictionary(field.type):
            decoded = plain.column(place).cast(field.type.value_type)
            plain = plain.set_column(place, field.name, decoded)
    chunks = max((column.num_chunks for column in plain.columns), default=0)
    if chunks > 1 + plain.num_rows // _CHUNK and plain.nbytes < chunks * _CRUMB:
        # Rows that were picked one by one are slices of one buffer, and each would take the whole
        # of it along to another process. A mapped file of very long texts has few rows in a chunk
        # too, and stays where it is.
        plain = plain.combine_chunks()
    return datasets.Dataset(plain, fingerprint=fresh_fingerprint())


def fresh_fingerprint() -> str:
    """A name for a dataset that no other has.

    `datasets` names the files of its cache by it, and would otherwise hash the whole content.
    """
    return uuid.uuid4().hex[:16]


@contextmanager
def quiet() -> Iterator[None]:
    """Hides the library's progress bars, which are switched for the whole process, for a while."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def stored_column(dataset: datasets.Dataset, name: str) -> pa.ChunkedArray:
    """A column as it is stored; a memory-mapped one stays so unless rows were picked out."""
    return dataset.select_columns([name]).with_format("arrow")[:].column(0)


def replaced(
    dataset: datasets.Dataset, name: str, values: pa.ChunkedArray | pa.Array
) -> datasets.Dataset:
    """The dataset with a column added, or replaced where it stands.

    Args:
        dataset: The dataset.
        name: The column.
        values: One value per row.

    Returns:
        The new dataset.
    """
    plain = (datasets.Value, datasets.List)
    if not all(isinstance(kind, plain) for kind in dataset.features.values()):
        # Images and the like are more than Arrow knows of them, so they are left in place.
        kept = dataset.remove_columns([name]) if name in dataset.column_names else dataset
        with quiet():
            return kept.add_column(name, values.to_pylist(), new_fingerprint=fresh_fingerprint())
    columns = dataset.with_format("arrow")[:]
    if name not in columns.column_names:
        return new_dataset(columns.append_column(name, values))
    return new_dataset(columns.set_column(columns.column_names.index(name), name, values))


def typed(raw: datasets.Dataset) -> datasets.Dataset:
    """A table of text cells, with the columns that hold only numbers made numbers."""
    columns = raw.with_format("arrow")[:]
    for place, name in enumerate(columns.column_names):
        cells = columns.column(place)
        found = _numbers(cells)
        if found is not None:
            columns = columns.set_column(place, name, found)
    return new_dataset(columns)


def _numbers(cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Cells of text as numbers, if all that are not empty hold one; else None.

    Args:
        cells: A column of text.

    Returns:
        Integers if all are whole, or else decimals; empty cells are missing values.
    """
    # "007" and 20-digit ids stay text: as numbers they would not be written back the same.
    found = decimal = False
    for chunk in cells.chunks:
        # A column of prose is told from numbers by its first chunk, so that it is never copied.
        filled = chunk.filter(pc.not_equal(chunk, ""))
        if not _all(filled, DECIMAL):
            return None
        found = found or bool(len(filled))
        decimal = decimal or not _all(filled, INTEGER)
    if not found:
        return None
    if decimal and not _any(cells, r"[.eE]"):
        return None
    filled = pc.if_else(pc.equal(cells, ""), None, cells)
    return filled.cast(pa.float64() if decimal else pa.int64())


def _all(cells: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(cells, pattern)).as_py() is not False


def _any(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def with_written(
    typed: datasets.Dataset, raw: datasets.Dataset, roles: Mapping[str, Role], label_names: bool
) -> datasets.Dataset:
    """Puts back the cells of columns that are text, even of digits, as they were written.

    Args:
        typed: The table with numbers told from text.
        raw: The table as it was read.
        roles: Column name to role.
        label_names: Whether labels count as text too.

    Returns:
        The table for use.
    """
    as_written = {*WRITTEN, Role.LABEL} if label_names else {*WRITTEN}
    columns, written = typed.with_format("arrow")[:], raw.with_format("arrow")[:]
    for name, role in roles.items():
        if role in as_written and columns.schema.field(name).type != pa.string():
            place = columns.column_names.index(name)
            columns = columns.set_column(place, name, written[name])
    return new_dataset(columns)


def rows_where(mask: pa.ChunkedArray) -> list[int]:
    """The numbers, from 0, of the rows where a mask holds."""
    return list(pc.indices_nonzero(mask).to_pylist())
