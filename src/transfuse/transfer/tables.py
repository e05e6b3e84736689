"""The table that a recipe names."""

from functools import reduce

from transfuse.data import Table, read, sample
from transfuse.errors import DataError, Problem
from transfuse.recipe import nearest
from transfuse.transfer.choices import TableChoice

__all__ = ["load_table"]


def load_table(choice: TableChoice) -> Table:
    """The table that a recipe names.

    Args:
        choice: Where it is and what its columns are for.
    """
    if choice.sample is not None:
        return _where(sample(choice.sample), choice)
    assert choice.path is not None
    paths = (choice.path,) if isinstance(choice.path, str) else choice.path
    tables = [
        read(
            path,
            roles=choice.roles or None,
            split=choice.part,
            encoding=choice.encoding,
            quotes=choice.quotes,
            label_names=choice.label_names,
        )
        for path in paths
    ]
    return _where(reduce(Table.append, tables), choice)


def _where(table: Table, choice: TableChoice) -> Table:
    """The rows that a recipe takes."""
    for column, wanted in choice.where.items():
        if column not in table.dataset.column_names:
            raise DataError(
                Problem(
                    table.name,
                    f"has no column {column!r}, which `where` names",
                    f"one of {', '.join(table.dataset.column_names)}",
                    nearest(column, table.dataset.column_names),
                )
            )
        known = {str(value) for value in (wanted if isinstance(wanted, tuple) else (wanted,))}
        values = [str(value) for value in table.values(column)]
        unknown = sorted(known - set(values))
        if unknown:
            raise DataError(
                Problem(
                    table.name,
                    f"no row has {unknown[0]!r} in the column {column!r}",
                    f"values such as {', '.join(sorted(set(values))[:8])}",
                    nearest(unknown[0], set(values)),
                )
            )
        table = table.filter([value in known for value in values])
    return table
