"""Tables that are in memory already: Python columns and pandas frames."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from transfuse.data.columns import new_dataset
from transfuse.data.loaded import Loaded, Mixed
from transfuse.data.readers.values import survey
from transfuse.errors import DataError, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["load_columns", "load_frame"]


def load_columns(columns: Mapping[str, Sequence[Any]], name: str) -> Loaded:
    """Takes over Python columns.

    Args:
        columns: Column name to values.
        name: What messages call the table.

    Returns:
        The columns, typed by their values.

    Raises:
        DataError: If the columns are of different lengths, or of values that Arrow cannot hold.
    """
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{column!r} has {length:,}" for column, length in lengths.items())
        raise DataError(Problem(name, f"columns of different lengths: {listed}", "one length"))
    arrays: dict[str, Any] = {}
    mixed: dict[str, Mixed] = {}
    for column, values in columns.items():
        cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
        arrays[str(column)] = _column(cells, str(column), name, mixed)
    return Loaded(new_dataset(pa.table(arrays)), name, mixed=mixed)


def load_frame(frame: "pd.DataFrame", name: str) -> Loaded:
    """Takes over the columns of a pandas frame, without its index.

    Args:
        frame: The frame; NaN and the like count as missing.
        name: What messages call the table.

    Returns:
        The columns, typed by their dtype, or by their values where the dtype is object.

    Raises:
        DataError: If two columns have one name, or values cannot be held by Arrow.
    """
    names = [str(column) for column in frame.columns]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        listed = ", ".join(map(repr, twice))
        raise DataError(Problem(name, f"more than one column named {listed}", "one of each name"))
    arrays: dict[str, Any] = {}
    mixed: dict[str, Mixed] = {}
    for place, column in enumerate(names):
        series = frame.iloc[:, place]
        if series.dtype.kind in "biufM" and isinstance(series.dtype, np.dtype):
            arrays[column] = pa.array(series.to_numpy(), from_pandas=True)
        else:
            arrays[column] = _column(series.tolist(), column, name, mixed)
    return Loaded(new_dataset(pa.table(arrays)), name, mixed=mixed)


def _column(values: list[Any], column: str, name: str, mixed: dict[str, Mixed]) -> pa.Array:
    try:
        if any(
            isinstance(value, list) and value and isinstance(value[0], dict) for value in values
        ):
            # Lists of records, such as boxes; surveyed they would be text.
            return pa.array(values)
        array, found = survey(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        where = f"{name}, column {column!r}"
        raise DataError(Problem(where, f"values that Arrow cannot hold ({error})")) from None
    except UnicodeEncodeError as error:
        what = f"a text with half a character ({error.reason}): {error.object[:40]!r}"
        fix = "Clean it with text.encode('utf-8', 'replace').decode()."
        raise DataError(Problem(f"{name}, column {column!r}", what, "Unicode text", fix)) from None
    if found:
        mixed[column] = found
    return array
