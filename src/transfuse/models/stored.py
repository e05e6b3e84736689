"""Rows of the feature store as training reads them: by number, padded, straight from the disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from transfuse.models.feature_file import Features, as_tensor, offsets_of, storage_type

__all__ = ["StoredFeatures", "spans", "stored_rows"]


@dataclass(frozen=True)
class StoredFeatures:
    """Rows that lie in memory-mapped files; nothing is read before it is asked for.

    The rows stay readable while the object lives, even if the store is pruned meanwhile.

    Args:
        files: The values of each file, [total, ...].
        owner: Which file holds each row, int64 [rows].
        starts: Where each row starts in its file, int64 [rows].
        lengths: How many vectors each row has, int64 [rows].
        dtype: float64, float32, float16 or bfloat16 (then `files` are uint16).
    """

    files: tuple[npt.NDArray[Any], ...]
    owner: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    dtype: str

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> npt.NDArray[Any]:
        start = self.starts[row]
        found: npt.NDArray[Any] = self.files[self.owner[row]][start : start + self.lengths[row]]
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one vector, for instance (384,)."""
        return self.files[0].shape[1:] if self.files else (0,)

    def take(self, indices: npt.ArrayLike) -> "StoredFeatures":
        """These rows only, in this order, still on disk.

        Args:
            indices: Row numbers, integers [n]; a row may be named more than once.

        Returns:
            A view of them.
        """
        rows = np.asarray(indices, np.int64)
        return StoredFeatures(
            self.files, self.owner[rows], self.starts[rows], self.lengths[rows], self.dtype
        )

    def padded(self, indices: npt.ArrayLike) -> npt.NDArray[Any]:
        """Copies rows out, padded with zeros on the right to the longest of them.

        Args:
            indices: Row numbers, integers [n].

        Returns:
            A new array [n, T, ...] of the stored type (bfloat16 as uint16).
        """
        rows = np.asarray(indices, np.int64)
        lengths, owner, starts = self.lengths[rows], self.owner[rows], self.starts[rows]
        longest = int(lengths.max(initial=0))
        batch = np.empty((len(rows), longest, *self.shape), storage_type(self.dtype))
        if batch.size and (owner == owner[0]).all():
            places = np.arange(longest)
            real = places < lengths[:, None]
            source = np.where(real, starts[:, None] + places, starts.min())
            # Nothing is out of range; "clip" spares numpy a second buffer of the batch's size.
            np.take(self.files[owner[0]], source, axis=0, out=batch, mode="clip")
            batch[~real] = 0
            return batch
        # Over several files, one copy a row is faster than one masked gather a file.
        triples = zip(owner.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        for place, (file, start, length) in enumerate(triples):
            batch[place, :length] = self.files[file][start : start + length]
            batch[place, length:] = 0
        return batch

    def batch(
        self, indices: npt.ArrayLike, dtype: torch.dtype | None = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows as a model takes them: `hidden` and `attention_mask`.

        Args:
            indices: Row numbers, integers [n].
            dtype: The type to hand over. Default: float32, as the weights are kept in while
                training; None leaves the stored type.

        Returns:
            Vectors [n, T, ...], zero where padded, and the mask, int64 [n, T].
        """
        rows = np.asarray(indices, np.int64)
        hidden = as_tensor(self.padded(rows), self.dtype)
        lengths = torch.from_numpy(self.lengths[rows])
        mask = (torch.arange(hidden.shape[1]) < lengths[:, None]).long()
        return (hidden if dtype is None else hidden.to(dtype)), mask

    def gather(self, indices: npt.ArrayLike | None = None) -> Features:
        """Copies rows out without padding.

        Args:
            indices: Row numbers, integers [n]. Default: all rows.

        Returns:
            The rows in memory.
        """
        rows = np.arange(len(self)) if indices is None else np.asarray(indices, np.int64)
        lengths, owner, starts = self.lengths[rows], self.owner[rows], self.starts[rows]
        offsets = offsets_of(lengths)
        values = np.empty((int(offsets[-1]), *self.shape), storage_type(self.dtype))
        for file in np.unique(owner).tolist():
            mine = owner == file
            source = spans(starts[mine], lengths[mine])
            values[spans(offsets[:-1][mine], lengths[mine])] = self.files[file][source]
        return Features(values, offsets, self.dtype)

    def matrix(self) -> npt.NDArray[np.float32]:
        """Pooled rows as one matrix.

        Returns:
            float32 [rows, d].

        Raises:
            ValueError: If a row has not exactly one vector.
        """
        if np.any(self.lengths != 1):
            row = int(np.flatnonzero(self.lengths != 1)[0])
            raise ValueError(f"row {row} has {self.lengths[row]} vectors, expected one (pooled)")
        matrix: npt.NDArray[np.float32] = self.gather().tensor().float().numpy()
        return matrix


def stored_rows(files: Sequence[Features], rows: npt.NDArray[np.int64]) -> StoredFeatures:
    """Rows by their number over all files, one file after the other."""
    ends = np.cumsum([len(file) for file in files], dtype=np.int64)
    owner = np.searchsorted(ends, rows, side="right")
    starts = [file.offsets[:-1] for file in files]
    lengths = [file.lengths for file in files]
    empty = [np.empty(0, np.int64)]
    return StoredFeatures(
        files=tuple(file.values for file in files),
        owner=owner,
        starts=np.concatenate(starts or empty)[rows],
        lengths=np.concatenate(lengths or empty)[rows],
        dtype=files[0].dtype if files else "float32",
    )


def spans(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """start, start + 1, … for each row, one row after the other."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
