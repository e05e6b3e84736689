"""The two files of a study as they lie in its folder: its description, and a row a number."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from transfuse.errors import DataError, Problem
from transfuse.report.format import plain

__all__ = ["Row", "load_rows", "load_study", "told_in"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `study.parquet`: one number, with its interval where it has one."""

    row: int
    kind: str
    recipe: str
    budget: int
    seed: int | None
    split: str
    metric: str
    baseline: str
    x: str
    value: float
    low: float
    high: float
    p: float
    p_holm: float

    @property
    def measured(self) -> bool:
        """Whether there is a finite value to draw."""
        return math.isfinite(self.value)

    @property
    def bounded(self) -> bool:
        """Whether there is a finite interval to draw."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def load_study(path: Path) -> dict[str, Any]:
    """What was compared: `study.json`.

    Args:
        path: The file.

    Raises:
        DataError: If it is missing, or is no JSON object.
    """
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            Problem(str(path), "no such file", "the study's description beside study.parquet")
        ) from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are both ValueErrors
        raise DataError(Problem(str(path), f"not readable as JSON ({error})")) from error
    if not isinstance(study, dict):
        raise DataError(Problem(str(path), f"holds a {type(study).__name__}", "a JSON object"))
    return study


def load_rows(path: Path) -> tuple[Row, ...]:
    """The numbers: `study.parquet`.

    Args:
        path: The file.

    Raises:
        DataError: If it is missing, is not readable or lacks a column.
    """
    import pyarrow as pa  # here: `transfuse --help` imports this module's package
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(Problem(str(path), "no such file", "the numbers of a study")) from None
    except pa.ArrowInvalid as error:
        raise DataError(Problem(str(path), f"not readable as Parquet ({error})")) from error
    names = [item.name for item in fields(Row)]
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise DataError(
            [Problem(str(path), f"has no column {name!r}", ", ".join(names)) for name in missing]
        )
    columns = [table.column(name).to_pylist() for name in names]
    rows = tuple(_row(names, values) for values in zip(*columns, strict=True))
    if len({row.row for row in rows}) != len(rows):
        raise DataError(Problem(str(path), "two rows have the same number in column 'row'"))
    return rows


def _row(names: list[str], values: tuple[Any, ...]) -> Row:
    given: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        if name in ("value", "low", "high", "p", "p_holm"):
            given[name] = math.nan if value is None else float(value)
        elif name == "seed":
            given[name] = None if value is None or value != value else int(value)
        elif name in ("row", "budget"):
            given[name] = int(value)
        else:
            given[name] = plain(value)
    return Row(**given)


def told_in(path: Path, read: Callable[[Any], T]) -> T | None:
    """What is made of a JSON file that a study may have written; None where it has not.

    Args:
        path: The file.
        read: Makes something of its content.

    Raises:
        DataError: If the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    # Damaged pictures within the file are a ValueError too.
    except (ValueError, LookupError, TypeError) as error:
        what = f"cannot be read ({type(error).__name__}: {error})"
        raise DataError(Problem(str(path), what, fix="Do the study again.")) from None
