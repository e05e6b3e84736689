"""The table that a recipe names."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from transfuse.data import Table, sample
from transfuse.data.captions import pseudo_captions
from transfuse.data.loaded import Loaded, ReadOptions
from transfuse.data.prepare import prepare
from transfuse.data.read import load_path
from transfuse.errors import DataError, Problem
from transfuse.recipe import nearest
from transfuse.transfer.choices import TableChoice

__all__ = ["load_table"]


def load_table(choice: TableChoice) -> Table:
    """The table that a recipe names.

    Args:
        choice: Where it is and what its columns are for.
    """
    table = _read(choice)
    return pseudo_captions(table, choice.templates) if choice.templates else table


def _read(choice: TableChoice) -> Table:
    if choice.sample is not None:
        return _where(sample(choice.sample), choice)
    assert choice.path is not None
    paths = (choice.path,) if isinstance(choice.path, str) else choice.path
    options = ReadOptions(
        encoding=choice.encoding, quotes=choice.quotes, label_names=choice.label_names
    )
    # Rows are taken before any is checked: those that are left out may lack a label.
    loaded = _taken([load_path(path, choice.part, options) for path in paths], choice)
    return reduce(Table.append, [_table(each, choice, options) for each in loaded])


def _table(loaded: Loaded, choice: TableChoice, options: ReadOptions) -> Table:
    dataset, schema, notes = prepare(loaded, choice.roles or None, options)
    return Table(dataset, schema, loaded.name, notes)


def _taken(files: Sequence[Loaded], choice: TableChoice) -> list[Loaded]:
    """The rows that a recipe takes of its files."""
    kept = [np.ones(len(each.dataset), dtype=bool) for each in files]
    for column, wanted in choice.where.items():
        for each in files:
            _check_column(each.name, column, each.dataset.column_names)
        values = [[str(value) for value in each.dataset[column]] for each in files]
        known = _known(wanted, files[0].name, column, {one for some in values for one in some})
        for mask, some in zip(kept, values, strict=True):
            mask &= [value in known for value in some]
    if not choice.where:
        return list(files)
    taken = [_only(each, mask) for each, mask in zip(files, kept, strict=True) if mask.any()]
    if not taken:
        told = ", ".join(f"{column}: {wanted}" for column, wanted in choice.where.items())
        raise DataError(Problem(files[0].name, f"no row has {told} together", "at least one row"))
    return taken


def _only(loaded: Loaded, mask: NDArray[np.bool_]) -> Loaded:
    rows = np.flatnonzero(mask)
    now = {int(row): number for number, row in enumerate(rows)}
    mixed = {
        column: replace(found, others=tuple((now[r], told) for r, told in found.others if r in now))
        for column, found in loaded.mixed.items()
    }

    def places(numbers: Sequence[int]) -> list[str]:
        return loaded.places([int(rows[number]) for number in numbers])

    return replace(loaded, dataset=loaded.dataset.select(rows), places=places, mixed=mixed)


def _check_column(name: str, column: str, known: Sequence[str]) -> None:
    if column not in known:
        raise DataError(
            Problem(
                name,
                f"has no column {column!r}, which `where` names",
                f"one of {', '.join(known)}",
                nearest(column, known),
            )
        )


def _known(
    wanted: str | int | tuple[str | int, ...], name: str, column: str, values: set[str]
) -> frozenset[str]:
    """The values that a recipe takes, each of which must be there."""
    known = frozenset(str(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,)))
    unknown = sorted(known - values)
    if unknown:
        raise DataError(
            Problem(
                name,
                f"no row has {unknown[0]!r} in the column {column!r}",
                f"values such as {', '.join(sorted(values)[:8])}",
                nearest(unknown[0], values),
            )
        )
    return known


def _where(table: Table, choice: TableChoice) -> Table:
    """The rows that a recipe takes of a sample."""
    for column, wanted in choice.where.items():
        _check_column(table.name, column, table.dataset.column_names)
        values = [str(value) for value in table.values(column)]
        known = _known(wanted, table.name, column, set(values))
        table = table.filter([value in known for value in values])
    return table
