"""Rows of different lengths in two flat arrays, such as the token ids of many texts.

Two arrays instead of a list of lists: 100,000 texts cost two allocations, can be memory-mapped,
and a subset of the rows is one gather.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Ragged"]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths.

    Args:
        values: All rows one after the other, int32 [total].
        offsets: Row i is `values[offsets[i]:offsets[i + 1]]`, int64 [rows + 1], starting at 0.

    Raises:
        ValueError: If the offsets do not describe the values.
    """

    values: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.offsets.ndim != 1 or self.values.ndim != 1:
            raise ValueError(
                f"expected flat values and offsets, got shapes {self.values.shape} and "
                f"{self.offsets.shape}"
            )
        if not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError(f"expected offsets from 0 to {len(self.values)}, got {self.offsets!r}")
        if np.any(np.diff(self.offsets) < 0):
            raise ValueError("expected offsets that never fall")

    @classmethod
    def from_rows(cls, rows: Iterable[Iterable[int]]) -> "Ragged":
        """Builds the two arrays from rows of integers.

        Args:
            rows: Any rows of integers that fit in 32 bits.

        Returns:
            The same rows.
        """
        arrays = [
            np.asarray(row if isinstance(row, np.ndarray) else list(row), dtype=np.int32)
            for row in rows
        ]
        lengths = np.array([len(row) for row in arrays], dtype=np.int64)
        values = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int32)
        return cls(values, _offsets(lengths))

    @classmethod
    def concatenate(cls, parts: Iterable["Ragged"]) -> "Ragged":
        """Puts the rows of several parts one after the other.

        Args:
            parts: The parts, in order; none at all gives no rows.

        Returns:
            All rows.
        """
        parts = list(parts)
        if not parts:
            return cls(np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))
        values = np.concatenate([part.values for part in parts])
        return cls(values, _offsets(np.concatenate([part.lengths for part in parts])))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The length of each row, int64 [rows]."""
        return np.diff(self.offsets)

    def take(self, indices: npt.ArrayLike) -> "Ragged":
        """The rows at the given places, in that order; a place may be named more than once.

        Args:
            indices: Row numbers, integers [n] (negative ones count from the end), or a boolean
                mask [rows].

        Returns:
            A copy of these rows.
        """
        wanted = np.asarray(indices)
        if wanted.dtype == np.bool_:
            wanted = np.flatnonzero(wanted)
        lengths = self.lengths[wanted.astype(np.int64)]
        starts = self.offsets[:-1][wanted.astype(np.int64)]
        offsets = _offsets(lengths)
        # Position in the gathered values -> position in ours, for all rows in one step.
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[places], offsets)

    def keys(self) -> npt.NDArray[Any]:
        """A 16-byte key of each row's values, S16 [rows]."""
        found = [blake2b(row.tobytes(), digest_size=16).digest() for row in self]
        return np.array(found, dtype="S16")

    def __getitem__(self, index: int) -> npt.NDArray[np.int32]:
        row = range(len(self))[index]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]:
        return (self[row] for row in range(len(self)))

    def __len__(self) -> int:
        return len(self.offsets) - 1


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
