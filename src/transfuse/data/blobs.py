"""Files as rows of a table, such as pictures and sounds: each is read only when it is asked for."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transfuse.errors import DataError, Problem

__all__ = ["Blob", "Blobs", "in_threads", "keys_of"]

_BLOCK = 64
"""Cells that are fetched at a time when all rows are walked over."""

_MOST_THREADS = 8


@dataclass(frozen=True)
class Blob:
    """One file: its bytes, or its place.

    Args:
        content: The bytes of the file. Default: they are in the file at `path`.
        path: The file; beside `content` it is only a name. Default: none.

    Raises:
        ValueError: If there is neither.
    """

    content: bytes | None = None
    path: str | None = None

    kind: ClassVar[str] = "file"
    """What messages call one of them."""

    def __post_init__(self) -> None:
        if self.content is None and self.path is None:
            what = f"expected the bytes of a {self.kind} or the path of its file, got neither"
            raise ValueError(what)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path or f"a {self.kind} of {len(self.content or b''):,} bytes"

    def read(self) -> bytes:
        """The bytes of the file.

        Raises:
            DataError: If the file cannot be read.
        """
        if self.content is not None:
            return self.content
        assert self.path is not None
        try:
            return Path(self.path).read_bytes()
        except OSError as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: OSError) -> DataError:
        """What is raised where the file cannot be opened."""
        what = f"cannot be read ({error.strerror or error})"
        fix = "Correct the path, or leave the row out."
        return DataError(Problem(self.name, what, f"a {self.kind} file", fix))

    @property
    def key(self) -> bytes:
        """A hash of the bytes, 16 bytes long (BLAKE2b); equal files have equal keys."""
        return blake2b(self.read(), digest_size=16).digest()


B = TypeVar("B", bound=Blob)
S = TypeVar("S")
T = TypeVar("T")


class Blobs(Sequence[B | None], Generic[B]):
    """The files of a column, in order; None where a row has none.

    Nothing is read or copied before a row is asked for: a memory-mapped column stays so, and a
    path stays a path.

    Args:
        column: Paths (text), bytes, or structs of `bytes` and `path` as `datasets` stores them,
            [cells]; or a dataset of one such column, which may have its rows picked out.
        cells: The places in the column of the rows, int64 [rows]. Default: all, in order.
        where: What messages call the column. Default: its role.

    Raises:
        DataError: If the column holds something else.
    """

    item: type[B]
    """What a row is."""

    role: ClassVar[str] = "file"
    """The role of the column."""

    def __init__(
        self,
        column: pa.ChunkedArray | pa.Array | datasets.Dataset,
        cells: npt.NDArray[np.int64] | None = None,
        where: str = "",
    ) -> None:
        if isinstance(column, datasets.Dataset):
            column = column.with_format("arrow")
            kind = column[:0].schema.field(0).type
        else:
            kind = column.type
        self.where = where or self.role
        if not _holds_files(kind):
            what = f"the {self.role} column holds {kind}"
            expected = f"paths of {self.item.kind} files, or their bytes"
            fix = f"Name the column that holds them, as `{self.role}: NAME`."
            raise DataError(Problem(self.where, what, expected, fix))
        self._column = column
        # Picking rows of a column of bytes would copy the files themselves.
        self.cells = np.arange(len(column), dtype=np.int64) if cells is None else cells

    @classmethod
    def of(cls, files: Iterable[B | bytes | str | Path | None]) -> Self:
        """Files that are at hand, for instance of one request.

        Args:
            files: Rows as they are, bytes of files, or paths.
        """
        rows = [_stored(file) for file in files]
        kind = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
        return cls(pa.array(rows, kind))

    def take(self, indices: npt.ArrayLike) -> Self:
        """The rows at the given places, in that order.

        Args:
            indices: Row numbers, integers [n], or a boolean mask [rows].
        """
        chosen = np.asarray(indices)
        # An empty list has no type of its own.
        chosen = chosen if chosen.size else chosen.astype(np.int64)
        return type(self)(self._column, self.cells[chosen], self.where)

    def keys(self) -> npt.NDArray[Any]:
        """The key of each file's content, S16 [rows]; a missing file has the key of no bytes.

        Raises:
            DataError: If a file cannot be read.
        """
        return keys_of(self)

    def place(self, row: int) -> str:
        """How messages name a row: its column and its number there, and its file."""
        file = self[row]
        named = f" ({file.path})" if file is not None and file.path else ""
        return f"{self.where}, row {self.cells[row] + 1:,}{named}"

    def __len__(self) -> int:
        return len(self.cells)

    @overload
    def __getitem__(self, index: int) -> B | None: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> "B | Self | None":
        if isinstance(index, slice):
            return type(self)(self._column, self.cells[index], self.where)
        return self._item(self._fetched(self.cells[[index]])[0])

    def __iter__(self) -> Iterator[B | None]:
        for start in range(0, len(self.cells), _BLOCK):
            yield from map(self._item, self._fetched(self.cells[start : start + _BLOCK]))

    def _fetched(self, cells: npt.NDArray[np.int64]) -> list[Any]:
        """What is stored in some cells, as Python objects."""
        if isinstance(self._column, datasets.Dataset):
            return list(self._column[cells.tolist()].column(0).to_pylist())
        return [self._column[cell].as_py() for cell in cells.tolist()]

    def _item(self, stored: Any) -> B | None:
        if isinstance(stored, dict):
            content, path = stored["bytes"], stored["path"]
            return None if content is None and not path else self.item(content, path)
        if isinstance(stored, bytes):
            return self.item(stored)
        return self.item(path=stored) if stored else None


def keys_of(blobs: Sequence[Blob | None]) -> npt.NDArray[Any]:
    """A key of each file's content: 16 bytes that are equal for files of equal bytes.

    The files are read in threads, some at a time, and not kept.

    Args:
        blobs: The files; a missing one has the key of no bytes.

    Returns:
        BLAKE2b hashes, S16 [rows].

    Raises:
        DataError: If a file cannot be read.
    """
    absent = blake2b(digest_size=16).digest()
    found = in_threads(lambda one: absent if one is None else one.key, blobs)
    return np.fromiter(found, "S16", len(blobs))


def in_threads(
    work: Callable[[S], T], items: Iterable[S], workers: int | None = None
) -> Iterator[T]:
    """Results in the order of the items, worked out in threads, few of them ahead.

    Args:
        work: What is done to each item; it lets go of the interpreter, as decoding does.
        items: The items.
        workers: How many threads; with one, none is started. Default: one for each core, at most
            eight.

    Yields:
        The results. What `work` raises is raised in its turn.
    """
    count = min(_MOST_THREADS, os.cpu_count() or 1) if workers is None else workers
    if count <= 1:
        yield from map(work, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(count) as pool:
        ahead = [pool.submit(work, item) for item in islice(rest, 4 * count)]
        try:
            while ahead:
                yield ahead.pop(0).result()
                ahead += [pool.submit(work, item) for item in islice(rest, 1)]
        finally:
            for future in ahead:
                future.cancel()


def _holds_files(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {field.name for field in kind}
    return any(
        test(kind)
        for test in (
            *(pa.types.is_string, pa.types.is_large_string),
            *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null),
        )
    )


def _stored(file: Blob | bytes | str | Path | None) -> dict[str, Any] | None:
    match file:
        case None:
            return None
        case Blob():
            return {"bytes": file.content, "path": file.path}
        case bytes():
            return {"bytes": file, "path": None}
        case _:
            return {"bytes": None, "path": str(file)}
