"""Rows as an encoder's preprocessing leaves them: ready for batches, whatever they are rows of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from transfuse.data.schema import Role

__all__ = ["Preprocessed", "Records", "narrowed", "picked"]


@runtime_checkable
class Preprocessed(Protocol):
    """What `Encoder.preprocess` gives: token ids of texts, pictures still to be decoded."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each row costs, in tokens or patches, int64 [rows]."""

    def __len__(self) -> int: ...

    def take(self, indices: npt.ArrayLike) -> Self:
        """The rows at the given places, in that order.

        Args:
            indices: Row numbers, integers [n].
        """

    def keys(self) -> npt.NDArray[Any]:
        """The content key of each row, equal for equal content, 16 bytes each, S16 [rows]."""


class Records(Sequence[Mapping[str, Any]]):
    """Rows of several columns, each read only when it is asked for.

    Args:
        parts: The values of each column, by the name of its role, all of one length; None where a
            row has no value.

    Raises:
        ValueError: If there are no parts, or their lengths differ.
    """

    def __init__(self, parts: Mapping[str, Sequence[Any]]) -> None:
        lengths = {len(part) for part in parts.values()}
        if len(lengths) != 1:
            raise ValueError(f"expected parts of one length, got {sorted(lengths)}")
        self.parts = dict(parts)
        (self._rows,) = lengths

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], roles: Iterable[str]) -> "Records":
        """Records of rows that are at hand.

        Args:
            rows: Role name to value; a role that is not there is missing.
            roles: The roles.
        """
        rows = list(rows)
        return cls({role: [row.get(role) for row in rows] for role in roles})

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Records": ...
    def __getitem__(self, index: int | slice) -> "Mapping[str, Any] | Records":
        if isinstance(index, slice):
            return Records({name: part[index] for name, part in self.parts.items()})
        row = range(self._rows)[index]
        return {name: part[row] for name, part in self.parts.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self[row] for row in range(self._rows))


def narrowed(rows: Sequence[Any], have: Sequence[Role], want: Sequence[Role]) -> Sequence[Any]:
    """Rows as a model of fewer roles reads them.

    Args:
        rows: What `Table.inputs` gives for the roles in `have`.
        have: The roles that were asked for.
        want: Some of them.

    Returns:
        What it gives for those in `want`.
    """
    if tuple(have) == tuple(want) or not isinstance(rows, Records):
        return rows
    if len(want) == 1 and want[0] != Role.FIELDS:
        return rows.parts[want[0]]
    return Records({str(role): rows.parts[role] for role in want})


def picked(rows: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """Some of the rows, in the given order.

    Args:
        rows: What `Table.inputs` gives.
        places: Row numbers.
    """
    found = [rows[place] for place in places]
    return Records.of(found, rows.parts) if isinstance(rows, Records) else found
