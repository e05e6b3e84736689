"""The files of a merged model: where each tensor will lie, decided before any is made."""

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import ModelError, Problem
from transfuse.files import write_whole
from transfuse.merging.open_files import OpenFiles
from transfuse.merging.storage import TYPES
from transfuse.merging.weights import INDEX, WEIGHTS, Stored

__all__ = ["PARTIAL", "Layout", "Shape", "Writer", "lay_out"]

PARTIAL = ".partial"
"""What the name of a file ends with until all of it is there."""

_ALIGNED = 8


class Shape(NamedTuple):
    """What a tensor will be.

    Args:
        dtype: Its type, as safetensors names it.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * TYPES[self.dtype].itemsize


@dataclass(frozen=True)
class Layout:
    """The files of a model, and the place of each tensor in them.

    Args:
        folder: The folder.
        headers: The header of each file, by its final name.
        places: Where each tensor lies, in the file's partial name, in the order of the files.
        sizes: How many bytes each file has.
    """

    folder: Path
    headers: Mapping[str, bytes]
    places: Mapping[str, Stored]
    sizes: Mapping[str, int]

    def prepare(self, *, own: bool = False) -> None:
        """Make the partial files at their full size, each with its header.

        Partial files that are there already keep what they hold.

        Args:
            own: Whether whole files in the folder are of this very merge, which was stopped while
                it gave them their names; they are partial again. Default: no.

        Raises:
            ModelError: If the disk has not enough room.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = {name: self.folder / (name + PARTIAL) for name in self.headers}
        for name in paths if own else ():
            if (self.folder / name).exists():
                (self.folder / name).replace(paths[name])
        held = sum(path.stat().st_size for path in paths.values() if path.exists())
        free, wanted = shutil.disk_usage(self.folder).free, sum(self.sizes.values()) - held
        if wanted > free:
            raise ModelError(
                Problem(str(self.folder), f"has room for {free:,} bytes", f"{wanted:,} bytes")
            )
        for name, header in self.headers.items():
            path = paths[name]
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.write(header)
                file.truncate(self.sizes[name])

    def finish(self) -> None:
        """Give the files their names, and shards an index.

        What another merge that was stopped has left goes.
        """
        for name in self.headers:
            (self.folder / (name + PARTIAL)).replace(self.folder / name)
        for left in self.folder.glob(f"model*.safetensors{PARTIAL}"):
            left.unlink()
        if len(self.headers) > 1:
            names = {name: place.file.name for name, place in self.places.items()}
            weight_map = {name: file.removesuffix(PARTIAL) for name, file in sorted(names.items())}
            total = sum(place.bytes for place in self.places.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            write_whole(self.folder / INDEX, json.dumps(index, indent=2))


class Writer(OpenFiles):
    """Writes runs of tensors to their places; one for each thread."""

    def __init__(self) -> None:
        super().__init__("r+")

    def raw(self, place: Stored, start: int, values: NDArray[Any]) -> None:
        """Write a run.

        Args:
            place: The tensor's place.
            start: The first number of the run.
            values: The run as it is to be stored, [n].
        """
        file, at, done = self.file(place.file), place.start + start * values.itemsize, 0
        if hasattr(os, "pwritev"):
            # One call where seeking and writing are two.
            done = os.pwritev(file.fileno(), (values.data,), at)
            if done == values.nbytes:
                return
        file.seek(at + done)
        view = values.view(np.uint8).data
        while done < len(view):
            done += file.write(view[done:]) or 0


def lay_out(folder: Path, shapes: Mapping[str, Shape], shard_bytes: int) -> Layout:
    """Give each tensor its place.

    Tensors lie in the order of their names, the widest numbers first, so that each begins at a
    multiple of its numbers' width whatever the files of the inputs were.

    Args:
        folder: The folder of the model.
        shapes: What each tensor will be.
        shard_bytes: Bytes of tensors in one file; a larger tensor has one to itself.
    """
    order = sorted(shapes, key=lambda name: (-TYPES[shapes[name].dtype].itemsize, name))
    shards: list[list[str]] = [[]]
    held = 0
    for name in order:
        if shards[-1] and held + shapes[name].bytes > shard_bytes:
            shards.append([])
            held = 0
        shards[-1].append(name)
        held += shapes[name].bytes
    headers, places, sizes = {}, {}, {}
    for file, names in zip(_names(len(shards)), shards, strict=True):
        header = _header(names, shapes)
        headers[file] = header
        start = len(header)
        for name in names:
            path = folder / (file + PARTIAL)
            places[name] = Stored(path, start, *shapes[name])
            start += shapes[name].bytes
        sizes[file] = start
    return Layout(folder, headers, places, sizes)


def _names(count: int) -> Iterable[str]:
    if count == 1:
        return [WEIGHTS]
    return [f"model-{place:05d}-of-{count:05d}.safetensors" for place in range(1, count + 1)]


def _header(names: Iterable[str], shapes: Mapping[str, Shape]) -> bytes:
    # transformers asks for this to tell which library's tensors these are.
    told: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in names:
        dtype, shape = shapes[name]
        end = start + shapes[name].bytes
        told[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text
