"""Rows of several columns, preprocessed; a column that a row does not have costs it nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.content import hashed
from transfuse.data.rows import Preprocessed

__all__ = ["JoinedRows", "Part", "values_of"]


class Part:
    """The values of one column that are there, preprocessed.

    Args:
        rows: They alone.
    """

    def __init__(self, rows: Preprocessed) -> None:
        self.rows = rows

    @cached_property
    def keys(self) -> npt.NDArray[Any]:
        """Their content keys, S16 [values]."""
        return np.ascontiguousarray(self.rows.keys())

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each costs, int64 [values]."""
        return self.rows.lengths


@dataclass(frozen=True)
class JoinedRows:
    """Rows of several columns; a `Preprocessed`.

    Args:
        parts: The preprocessed values of each column.
        places: Where in its part each row's value stands, -1 where it has none, int64 [rows] by
            column.
    """

    parts: Mapping[str, Part]
    places: Mapping[str, npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(next(iter(self.places.values())))

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which columns each row has, bool [rows, columns]."""
        return np.stack([places >= 0 for places in self.places.values()], axis=1)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each row costs: the sum of its columns, int64 [rows]."""
        total = np.zeros(len(self), dtype=np.int64)
        for name, places in self.places.items():
            has = places >= 0
            total[has] += self.parts[name].lengths[places[has]]
        return np.maximum(total, 1)

    def take(self, indices: npt.ArrayLike) -> "JoinedRows":
        """The rows at the given places, in that order."""
        rows = np.asarray(indices)
        return JoinedRows(self.parts, {name: each[rows] for name, each in self.places.items()})

    def keys(self) -> npt.NDArray[Any]:
        """The key of each row's columns and their contents, S16 [rows]."""
        # Through numpy's own bytes a key would lose zeros at its end.
        known = {name: part.keys.view("V16") for name, part in self.parts.items()}
        found = [
            hashed(
                [
                    known[name][places[row]].tobytes() if places[row] >= 0 else b""
                    for name, places in self.places.items()
                ]
            )
            for row in range(len(self))
        ]
        return np.array(found, dtype="S16")

    def keys_of(self, name: str) -> npt.NDArray[Any]:
        """The keys of the values of one column, S16, one for each row that has it.

        Args:
            name: The column.
        """
        places = self.places[name]
        return self.parts[name].keys[places[places >= 0]]

    def part(self, name: str) -> tuple[npt.NDArray[np.int64], Preprocessed]:
        """The numbers of the rows that have a column, and its values in them.

        Args:
            name: The column.
        """
        rows = np.flatnonzero(self.places[name] >= 0)
        return rows, self.parts[name].rows.take(self.places[name][rows])

    def without(self, names: Iterable[str]) -> "JoinedRows":
        """The same rows as if none had these columns.

        Args:
            names: Columns.
        """
        gone = set(names)
        return JoinedRows(
            self.parts,
            {
                name: np.full_like(places, -1) if name in gone else places
                for name, places in self.places.items()
            },
        )


def values_of(column: Sequence[Any]) -> tuple[npt.NDArray[np.int64], Sequence[Any]]:
    """The values of a column that are there.

    Args:
        column: A value for each row, None where there is none. A row of structured columns in
            which all are None has no value.

    Returns:
        For each row the place of its value, -1 where it has none, int64 [rows]; and the values.
    """
    has = np.fromiter((_there(value) for value in column), np.bool_, len(column))
    places = np.where(has, np.cumsum(has) - 1, -1)
    if has.all():
        return places, column
    rows = np.flatnonzero(has)
    take = getattr(column, "take", None)
    # Lazy columns give a part of themselves without opening anything.
    return places, take(rows) if take is not None else [column[row] for row in rows.tolist()]


def _there(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(each is not None for each in value.values())
    return value is not None
