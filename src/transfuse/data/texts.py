"""The text column of rows that are only to be answered, found and checked in little memory.

`prepare.py` gives every column a role and a type, for which it holds some numbers of each row. Here
other columns are carried along as they are, whatever is in them.
"""

import pyarrow as pa
import pyarrow.compute as pc

from transfuse.data.columns import stored_column, typed
from transfuse.data.infer import infer_schema
from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.schema import Role
from transfuse.errors import DataError, Problem

__all__ = ["find_texts"]

_HEAD = 10_000
"""Rows from the start by whose content the column is found."""


def find_texts(
    loaded: Loaded, given: str | None, options: ReadOptions
) -> tuple[str, tuple[str, ...]]:
    """The column of the text, with every row of it checked.

    Args:
        loaded: What a reader found.
        given: The column, if it is known; else it is inferred from names and the first rows.
        options: The longest cell.

    Returns:
        The column's name, and what was assumed.

    Raises:
        DataError: With the first 20 bad rows and the count of the others, or if no column can be
            the text.
    """
    where, dataset, findings = loaded.name, loaded.dataset, loaded.findings
    if not len(dataset):
        findings.raise_any(where)
        raise DataError(Problem(where, "no rows", "at least one row of data"))
    roles: dict[str, str | None] = {str(role): None for role in Role if role != Role.TEXT}
    if given is not None:
        roles[str(Role.TEXT)] = given
    head = dataset.select(range(min(_HEAD, len(dataset))))
    try:
        schema, notes = infer_schema(typed(head) if loaded.untyped else head, roles, where)
    except DataError as error:
        # Rows of the wrong shape may be why the columns make no sense, so both are told.
        raise DataError([*findings.problems(where), *error.problems]) from None
    if not schema.has(Role.TEXT):
        raise DataError(Problem(where, "no column holds text", fix="Name it with --column."))
    column = schema.column(Role.TEXT)
    _check(loaded, column, options.max_cell)
    findings.raise_any(where)
    return column, (*loaded.notes, *notes)


def _check(loaded: Loaded, column: str, most: int) -> None:
    """Notes rows without text, and texts that are too long, chunk by chunk."""
    where = f"{loaded.name}, column {column!r}"
    cells = stored_column(loaded.dataset, column)
    problems: dict[int, tuple[str, str, str]] = {}
    mixed = loaded.mixed.get(column)
    if mixed is not None:
        for row, what in mixed.others:
            problems[row] = what, mixed.expected, "Write all values in one way."
        loaded.findings.count += mixed.count - len(mixed.others)
    elif not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        fix = "Name the column that holds text with --column."
        raise DataError(Problem(where, f"the text column holds {cells.type}", "text", fix))
    else:
        start = 0
        for chunk in cells.chunks:
            lengths = pc.utf8_length(chunk)
            for row in pc.indices_nonzero(pc.is_null(chunk)).to_pylist():
                problems[start + row] = (
                    "no text",
                    "a text in each row",
                    "Fill it in or leave the row out.",
                )
            for row in pc.indices_nonzero(pc.greater(lengths, most)).to_pylist():
                what = f"a text of {lengths[row].as_py():,} characters"
                problems[start + row] = what, f"at most {most:,}", "Cut or split the text."
            start += len(chunk)

    def told(shown: list[int]) -> list[Problem]:
        places = loaded.places(shown) if shown else []
        return [
            Problem(f"{loaded.name}, {place}, column {column!r}", *problems[row])
            for place, row in zip(places, shown, strict=True)
        ]

    loaded.findings.add_all(sorted(problems), lambda shown: told(list(shown)))
