"""Safetensors folders as they lie on disk: which tensor is where, and reading runs of them."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import ModelError, Problem
from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk
from transfuse.merging.open_files import OpenFiles
from transfuse.merging.storage import FLOATING, TYPES, widen

__all__ = ["INDEX", "WEIGHTS", "Reader", "Stored", "Weights", "open_file", "open_weights"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000


class Stored(NamedTuple):
    """A tensor in a file.

    Args:
        file: The file.
        start: Where its bytes begin.
        dtype: Its type, as safetensors names it.
        shape: Its shape.
    """

    file: Path
    start: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.size * TYPES[self.dtype].itemsize

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers, which can be merged."""
        return self.dtype in FLOATING


@dataclass(frozen=True)
class Weights:
    """The weights of a folder; nothing but the headers has been read.

    Args:
        folder: The folder.
        tensors: Its tensors by name.
    """

    folder: Path
    tensors: Mapping[str, Stored]

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return sum(stored.size for stored in self.tensors.values())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold them, each once, sorted."""
        return tuple(sorted({stored.file for stored in self.tensors.values()}))


class Reader(OpenFiles):
    """Reads runs of tensors into buffers; one for each thread.

    Reading at a place into a buffer that is used again took half the time of copying out of a
    mapping, whose pages the system has to enter one by one.
    """

    def __init__(self) -> None:
        super().__init__("r")

    def floats(self, stored: Stored, start: int, out: Floats, desk: Desk) -> None:
        """Read a run as float32.

        Args:
            stored: The tensor.
            start: The first number of the run.
            out: Where the run goes; its length says how many numbers are read.
            desk: Room to work in.
        """
        if stored.dtype == "F32":
            self.raw(stored, start, out)
            return
        held = desk.raw("stored", TYPES[stored.dtype], len(out))
        self.raw(stored, start, held)
        widen(held, stored.dtype, out)

    def rows(
        self, tensors: Sequence[Stored], start: int, count: int, desk: Desk
    ) -> NDArray[np.float32]:
        """Read the same run of several tensors as float32.

        Args:
            tensors: The tensors.
            start: The first number of the run.
            count: How many numbers it has.
            desk: Room to work in; the run lies there.

        Returns:
            One row for each tensor, [tensors, count].
        """
        out = desk.floats("rows", len(tensors), count)
        if any(stored.dtype != "BF16" for stored in tensors):
            for row, stored in zip(out, tensors, strict=True):
                self.floats(stored, start, row, desk)
            return out
        held = desk.raw("stored rows", TYPES["BF16"], len(tensors), count)
        for narrow, stored in zip(held, tensors, strict=True):
            self.raw(stored, start, narrow)
        widen(held, "BF16", out)
        return out

    def raw(self, stored: Stored, start: int, out: NDArray[Any]) -> None:
        """Read a run as it is stored.

        Args:
            stored: The tensor.
            start: The first number of the run.
            out: Where the run goes, of the stored type.

        Raises:
            ModelError: If the file ends too early.
        """
        file, at, done = self.file(stored.file), stored.start + start * out.itemsize, 0
        if hasattr(os, "preadv"):
            # One call where seeking and reading are two.
            done = os.preadv(file.fileno(), (out.data,), at)
            if done == out.nbytes:
                return
        file.seek(at + done)
        view = out.view(np.uint8).data
        while done < len(view):
            count = file.readinto(view[done:])
            if not count:
                raise ModelError(
                    Problem(str(stored.file), "ends before its last tensor", "a whole file")
                )
            done += count


def open_weights(folder: Path) -> Weights:
    """Read the headers of a Hugging Face folder: one file, or shards with an index.

    Args:
        folder: The folder.

    Raises:
        ModelError: If the folder has no safetensors weights, or they are damaged.
    """
    folder = Path(folder)
    if (folder / INDEX).is_file():
        files = sorted(set(_index(folder / INDEX).values()))
        if wrong := [name for name in files if Path(name).name != name]:
            raise ModelError(Problem(str(folder / INDEX), f"names {wrong[0]!r}", "files beside it"))
        found = dict(pair for name in files for pair in open_file(folder / name))
        if missing := sorted(set(_index(folder / INDEX)) - set(found)):
            raise ModelError(
                Problem(str(folder / INDEX), f"names {missing[0]!r}", "tensors that the files hold")
            )
        return Weights(folder, found)
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            Problem(
                str(folder),
                "no safetensors weights",
                f"a folder with {WEIGHTS}, or shards with {INDEX}",
                "Load the model in transformers and save it anew with save_pretrained.",
            )
        )
    return Weights(folder, dict(open_file(folder / WEIGHTS)))


def open_file(path: Path) -> Iterator[tuple[str, Stored]]:
    """Read the header of one safetensors file.

    Args:
        path: The file.

    Yields:
        The name and place of each tensor.

    Raises:
        ModelError: If it is not there, or is no such file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            total = path.stat().st_size
            if not 2 <= length <= min(_LONGEST_HEADER, total - 8):
                raise _damaged(path, "its header's length is out of bounds")
            header = json.loads(file.read(length))
            found = dict(_tensors(path, header, 8 + length))
    except FileNotFoundError:
        raise ModelError(Problem(str(path), "is not there", "a safetensors file")) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"its header cannot be read ({error})") from None
    for name, stored in found.items():
        if stored.start + stored.bytes > total:
            raise _damaged(path, f"it ends before {name!r} does")
    yield from found.items()


def _tensors(path: Path, header: Mapping[str, Any], start: int) -> Iterator[tuple[str, Stored]]:
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in TYPES:
            raise ModelError(
                Problem(
                    str(path),
                    f"{name!r} is stored as {about['dtype']}",
                    f"one of {', '.join(TYPES)}",
                    "Quantised weights cannot be merged; take the model as it was before.",
                )
            )
        begin, end = about["data_offsets"]
        stored = Stored(path, start + begin, about["dtype"], tuple(map(int, about["shape"])))
        if begin < 0 or end - begin != stored.bytes:
            raise _damaged(path, f"{name!r} has a shape that its bytes do not fill")
        yield name, stored


def _index(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, "it is no index of shards") from None
    return {str(name): str(file) for name, file in found.items()}


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(Problem(str(path), what, "a whole safetensors file", "Copy it anew."))
