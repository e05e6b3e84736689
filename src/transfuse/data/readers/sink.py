"""Where a reader writes its rows: memory for small files, a mapped file in the cache for large.

A file of more than `in_memory_bytes` is converted to Arrow once, and found again by path, size,
time and options as long as it does not change. It is written beside and renamed, so that a kill
leaves no half table.
"""

import contextlib
import uuid
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from transfuse.cache import cache_dir
from transfuse.data.loaded import ReadOptions

__all__ = ["Sink", "stored_table"]

_FORMAT = 1
"""Raised whenever a reader changes what it makes of the same file."""


class Sink:
    """Takes record batches of one schema.

    Args:
        path: The file to write; None keeps the batches in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._path = path
        self._beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}") if path else None
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes some rows."""
        self._schema = batch.schema
        if self._beside is None:
            self._batches.append(batch)
            return
        if self._writer is None:
            self._beside.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pa.ipc.new_stream(str(self._beside), batch.schema)
        self._writer.write_batch(batch)

    def finish(self, schema: pa.Schema, keep: bool) -> pa.Table:
        """Ends writing and hands out all rows.

        Args:
            schema: The schema of the rows, needed where there are none.
            keep: Whether the file may be found again, which it must not if rows were bad.

        Returns:
            The rows; memory-mapped if they were written to a file.
        """
        if self._writer is None or self._beside is None or self._path is None:
            return pa.Table.from_batches(self._batches, self._schema or schema)
        self._writer.close()
        self._writer = None
        if keep:
            self._beside.replace(self._path)
        return _mapped(self._path if keep else self._beside)

    def __enter__(self) -> "Sink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._beside is not None:
            # Where bad rows stand, the table lives on, as long as it is in use, without a name;
            # systems that cannot take the name of an open file away keep it in the cache.
            with contextlib.suppress(OSError):
                self._beside.unlink()


def stored_table(path: Path, options: ReadOptions, convert: Callable[[Sink], pa.Table]) -> pa.Table:
    """Converts a file, or finds what an earlier conversion has left.

    Args:
        path: The file.
        options: How it is read.
        convert: Writes the file's rows to a sink and finishes it.

    Returns:
        The rows.
    """
    status = path.stat()
    if status.st_size <= options.in_memory_bytes:
        with Sink(None) as sink:
            return convert(sink)
    identity = repr((_FORMAT, path.resolve(), status.st_size, status.st_mtime_ns, options))
    key = blake2b(identity.encode(), digest_size=16).hexdigest()
    stored = cache_dir() / "tables" / f"{key}.arrow"
    if stored.exists():
        return _mapped(stored)
    with Sink(stored) as sink:
        return convert(sink)


def _mapped(path: Path) -> pa.Table:
    # The mapping outlives this function: Arrow's buffers hold on to it.
    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
