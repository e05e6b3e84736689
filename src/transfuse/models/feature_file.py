"""One file of the feature store: rows of vectors by content key, whole or not there at all.

A file is plain safetensors (`keys`, `offsets`, `values`), so any tool can read it. It is written
beside, flushed and renamed, and it carries a checksum over everything it says. numpy has no
bfloat16, so such values are handled as uint16 and named as what they are.
"""

import json
import mmap
import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = [
    "DamagedFileError",
    "FeatureFile",
    "Features",
    "Keys",
    "as_tensor",
    "offsets_of",
    "open_feature_file",
    "storage_type",
    "write_feature_file",
]

Keys = npt.NDArray[np.bytes_]
"""16-byte content keys as a flat array of dtype S16, which sorts and searches as raw bytes."""

_FORMAT = "transfuse-features-1"
_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_ALIGNMENT = 64


class DamagedFileError(Exception):
    """A feature file does not hold what was written: cut short, altered, or of another format."""


@dataclass(frozen=True)
class Features:
    """Rows of vectors, of as many vectors each as the row has tokens.

    Args:
        values: The vectors of all rows one after the other, [total, ...]; bfloat16 as uint16.
        offsets: Row i is `values[offsets[i]:offsets[i + 1]]`, int64 [rows + 1], starting at 0.
        dtype: float64, float32, float16 or bfloat16. Default: the type of `values`.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    dtype: str = ""

    def __post_init__(self) -> None:
        dtype = self.dtype or self.values.dtype.name
        object.__setattr__(self, "dtype", dtype)
        if dtype not in _CODES or self.values.dtype != storage_type(dtype):
            raise ValueError(f"values of type {self.values.dtype} cannot hold {dtype!r}")
        offsets = self.offsets
        if offsets.ndim != 1 or not len(offsets) or offsets[0] or np.any(np.diff(offsets) < 0):
            raise ValueError("expected offsets that start at 0 and never fall")
        if self.values.ndim < 1 or offsets[-1] != len(self.values):
            raise ValueError(f"offsets end at {offsets[-1]}, values have shape {self.values.shape}")

    @classmethod
    def from_tensor(cls, values: torch.Tensor, lengths: npt.ArrayLike | None = None) -> "Features":
        """Takes over a tensor of any floating type.

        Args:
            values: The vectors of all rows one after the other, [total, ...].
            lengths: How many vectors each row has, integers [rows]. Default: one each.

        Returns:
            The rows; they share the tensor's memory where it is on the CPU and contiguous.
        """
        plain = values.detach().cpu().contiguous()
        dtype = str(plain.dtype).removeprefix("torch.")
        array = (plain.view(torch.uint16) if dtype == "bfloat16" else plain).numpy()
        counts = np.ones(len(array), np.int64) if lengths is None else np.asarray(lengths)
        return cls(array, offsets_of(counts), dtype)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many vectors each row has, int64 [rows]."""
        return np.diff(self.offsets)

    def tensor(self) -> torch.Tensor:
        """All vectors as a tensor of their true type, [total, ...], sharing memory."""
        return as_tensor(self.values, self.dtype)

    def __getitem__(self, row: int) -> npt.NDArray[Any]:
        place = range(len(self))[row]
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class FeatureFile:
    """An opened feature file; its arrays are read from the disk as they are used.

    Args:
        path: Where it lies.
        keys: The key of each row, S16 [rows].
        features: The rows, in the order of the keys.
        replaces: Names of files whose rows were copied into this one.
        size: Bytes on disk.
    """

    path: Path
    keys: Keys
    features: Features
    replaces: tuple[str, ...]
    size: int


def storage_type(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds values of the named type."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def as_tensor(values: npt.NDArray[Any], dtype: str) -> torch.Tensor:
    """A writable array as a tensor of the named type, sharing memory."""
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def offsets_of(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where each row starts, and where the last ends, int64 [rows + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def write_feature_file(
    path: Path, parts: Sequence[tuple[Keys, Features]], replaces: Sequence[str] = ()
) -> None:
    """Writes rows so that after any interruption the file is whole or absent.

    Args:
        path: The final name; nothing may stand there.
        parts: Keys and rows, one part after the other; all of one type and shape. Parts that are
            memory-mapped are copied without being held in memory.
        replaces: Names of files beside it whose rows these are.

    Raises:
        OSError: If it cannot be written; nothing is left behind.
    """
    keys = np.concatenate([part for part, _ in parts])
    offsets = offsets_of(np.concatenate([features.lengths for _, features in parts]))
    first = parts[0][1]
    blocks = [_raw(offsets), _raw(keys), *(_raw(features.values) for _, features in parts)]
    shape = (int(offsets[-1]), *first.values.shape[1:])
    about = {"format": _FORMAT, "replaces": json.dumps(list(replaces))}
    checksum = _checksum([first.dtype, len(keys), shape, about], blocks)
    head = _header(first.dtype, len(keys), shape, about, checksum)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(head)
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(path.parent)


def open_feature_file(path: Path, verify: bool = True) -> FeatureFile:
    """Maps a feature file into memory.

    Args:
        path: The file.
        verify: Whether to read it all and compare the checksum; False for a file that this
            process has just written.

    Returns:
        The file, read-only.

    Raises:
        DamagedFileError: If it is not what was written.
        OSError: If it cannot be opened.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise DamagedFileError(f"{path} holds {size} bytes")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(mapped[:8], "little")
    try:
        header = json.loads(mapped[8:start])
        about = header["__metadata__"]
        checksum = int(about.pop("checksum"), 16)
        replaces = tuple(json.loads(about["replaces"]))
        rows = int(header["keys"]["shape"][0])
        shape = tuple(header["values"]["shape"])
        dtype = {code: name for name, code in _CODES.items()}[header["values"]["dtype"]]
        expected = _header(dtype, rows, shape, about, checksum)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedFileError(f"{path} has a header that cannot be read: {error!r}") from error
    counts = [8 * (rows + 1), 16 * rows, storage_type(dtype).itemsize * int(np.prod(shape))]
    if mapped[:start] != expected or size != start + sum(counts) or about["format"] != _FORMAT:
        raise DamagedFileError(f"{path} has a header that does not fit its {size} bytes")
    if verify and _checksum([dtype, rows, shape, about], [memoryview(mapped)[start:]]) != checksum:
        raise DamagedFileError(f"{path} has another checksum than when it was written")
    offsets = np.frombuffer(mapped, np.int64, rows + 1, start)
    keys = np.frombuffer(mapped, "S16", rows, start + counts[0])
    values = np.frombuffer(
        mapped, storage_type(dtype), int(np.prod(shape)), start + sum(counts[:2])
    )
    return FeatureFile(path, keys, Features(values.reshape(shape), offsets, dtype), replaces, size)


def _header(
    dtype: str, rows: int, shape: Sequence[int], about: dict[str, str], checksum: int
) -> bytes:
    """The head of a safetensors file: the length of the JSON that follows, then the JSON."""
    tensors = [
        ("offsets", "I64", [rows + 1], 8 * (rows + 1)),
        ("keys", "U8", [rows, 16], 16 * rows),
        ("values", _CODES[dtype], list(shape), storage_type(dtype).itemsize * int(np.prod(shape))),
    ]
    header: dict[str, Any] = {"__metadata__": about | {"checksum": f"{checksum:08x}"}}
    start = 0
    for name, code, tensor_shape, count in tensors:
        end = start + count
        header[name] = {"dtype": code, "shape": tensor_shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _checksum(said: list[Any], blocks: Sequence[memoryview]) -> int:
    value = zlib.crc32(json.dumps(said, sort_keys=True).encode())
    for block in blocks:
        value = zlib.crc32(block, value)
    return value


def _raw(array: npt.NDArray[Any]) -> memoryview:
    if sys.byteorder != "little":
        raise NotImplementedError("feature files are little-endian")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _flush_folder(folder: Path) -> None:
    # Without this a power cut may forget the rename although the file's bytes are safe.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
