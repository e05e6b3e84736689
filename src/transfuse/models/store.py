"""The feature store: what a frozen part of a model makes of a row is computed once, then read.

Rows are kept under a space (the weights and the preprocessing, as a hash) and a key (the row's
content, as a hash), so every epoch, seed and recipe that shares a frozen prefix shares its output.
On disk a space is a folder of feature files (`feature_file.py`). One process at a time adds files;
readers need no lock, since a file appears whole and never changes. Small files are merged now and
then, so that a space of any size has few.
"""

import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from transfuse.cache import cache_dir
from transfuse.models.feature_file import (
    Features,
    Keys,
    open_feature_file,
    write_feature_file,
)
from transfuse.models.feature_index import FeatureIndex, explained, replaced_names
from transfuse.models.stored import StoredFeatures, stored_rows

__all__ = ["Compute", "Counts", "Store"]

Compute = Callable[[npt.NDArray[np.int64]], Features]
"""Gets indices into the requested keys, hands back their rows in that order."""

_MOST_FILES = 16
_LOG = logging.getLogger(__name__)


class Counts(NamedTuple):
    """What a space has done since it was made."""

    computed: int
    """Rows computed and kept, ever; the number of different rows if none was computed twice."""
    requested: int
    """Rows asked for, ever."""


class Store:
    """Rows of vectors by space and content key, on disk.

    Any number of processes and threads may share the folder. If one is killed, the rows that it
    had finished writing stay.

    Args:
        folder: Where to keep the rows. Default: `features` in the cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder else cache_dir() / "features"
        self._indexes: dict[str, FeatureIndex] = {}
        self._guard = threading.RLock()

    def get(
        self, space: str, keys: Sequence[bytes] | Keys, compute: Compute, *, chunk: int = 2048
    ) -> StoredFeatures:
        """The rows of the keys; those that are missing are computed and kept.

        While one process computes, others that miss rows of the same space wait, and then find
        them. `compute` must not ask the store for rows of the same space.

        Args:
            space: A hexadecimal name of the weights and the preprocessing.
            keys: One 16-byte key for each row, as bytes or as an array of dtype S16; a key may be
                repeated.
            compute: Called with indices into `keys`, each missing key once.
            chunk: The most rows per call; an interrupted run keeps all finished calls.

        Returns:
            One row for each key, in their order.

        Raises:
            TransfuseError: If the disk is full or the folder cannot be written.
            ModelError: If `compute` gives vectors unlike those that the space holds.
        """
        wanted = _checked_keys(keys)
        index = self._index(space)
        features, found = self._find(index, wanted)
        if np.any(found < 0):
            with self._locked(space):
                self._fill(index, wanted, compute, chunk)
                features, found = self._find(index, wanted)
        index.note_request(len(wanted))
        return stored_rows(features, found)

    def counts(self, space: str | None = None) -> Counts:
        """How much was computed and how much was asked for; a pruned space counts no more.

        Args:
            space: One space only. Default: all of them.

        Returns:
            Rows computed and rows requested, by all processes.
        """
        indexes = [self._index(name) for name in (self.spaces() if space is None else [space])]
        return Counts(
            sum(index.computed() for index in indexes), sum(index.requested() for index in indexes)
        )

    def spaces(self) -> list[str]:
        """The spaces that exist, the least recently used first."""
        found = [path.name for path in self._folders() if _is_space(path.name)]
        return sorted(found, key=lambda space: self._index(space).last_used())

    def size(self, space: str | None = None) -> int:
        """How many bytes the rows take on disk.

        Args:
            space: One space only. Default: all of them.

        Returns:
            Bytes.
        """
        folders = self._folders() if space is None else [self._index(space).folder]
        return sum(_bytes_in(folder) for folder in folders)

    def prune(self, max_bytes: int) -> int:
        """Removes the least recently used spaces until the rest fits.

        A space in which some process is computing stays. Rows that were handed out before stay
        readable to their holder.

        Args:
            max_bytes: What may remain.

        Returns:
            Bytes freed.

        Raises:
            TransfuseError: If a space cannot be removed.
        """
        before = self.size()
        for left in self.folder.glob(".gone-*"):  # by a prune that was killed
            shutil.rmtree(left, ignore_errors=True)
        for space in self.spaces():
            if self.size() <= max_bytes:
                break
            with suppress(Timeout), self._locked(space, wait=False):
                folder = self.folder / space
                gone = self.folder / f".gone-{uuid4().hex}"
                with explained(folder, "removed"), suppress(FileNotFoundError):
                    folder.rename(gone)  # at once, so that nobody sees half a space
                    shutil.rmtree(gone)
        return before - self.size()

    def _find(
        self, index: FeatureIndex, wanted: Keys
    ) -> tuple[tuple[Features, ...], npt.NDArray[np.int64]]:
        with self._guard:
            index.refresh()
            return index.features, index.find(wanted)

    def _fill(self, index: FeatureIndex, wanted: Keys, compute: Compute, chunk: int) -> None:
        """Under the lock: computes what is missing, piece by piece, and tidies up."""
        with explained(index.folder, "written"):
            index.folder.mkdir(parents=True, exist_ok=True)
            for partial in index.folder.glob(".*.partial"):  # of a process that was killed
                partial.unlink()
        _, found = self._find(index, wanted)
        absent = np.flatnonzero(found < 0)
        _, first = np.unique(wanted[absent], return_index=True)
        missing = absent[np.sort(first)].astype(np.int64)
        for start in range(0, len(missing), chunk):
            rows = missing[start : start + chunk]
            features = compute(rows)
            if len(features) != len(rows):
                raise ValueError(f"asked to compute {len(rows)} rows, got {len(features)}")
            index.check_like(features)
            self._add(index, index.computed() + len(rows), [(wanted[rows], features)])
            self._merge(index)
        # Last, since the newest file's name carries the count even if the file is damaged.
        damaged = {name for name, file in index.files.items() if file is None}
        self._remove(index, damaged | replaced_names(index.sound()))

    def _merge(self, index: FeatureIndex) -> None:
        """Copies the smaller half of too many files into one."""
        files = sorted(index.sound(), key=lambda file: file.size)
        half = files[: len(files) // 2 + 1]
        # Merging only saves time later, so it is no reason to run into a full disk.
        room = shutil.disk_usage(index.folder).free > 2 * sum(file.size for file in half)
        if len(files) > _MOST_FILES and room:
            names = [file.path.name for file in half]
            parts = [(file.keys, file.features) for file in half]
            self._add(index, index.computed(), parts, names)
            self._remove(index, set(names))

    def _add(
        self,
        index: FeatureIndex,
        computed: int,
        parts: list[tuple[Keys, Features]],
        replaces: Sequence[str] = (),
    ) -> None:
        # The name tells how many rows were ever computed, so no later merge or damage forgets it.
        name = f"{computed:012d}-{uuid4().hex[:8]}.safetensors"
        path = index.folder / name
        with explained(path, "written"):
            write_feature_file(path, parts, replaces)
            written = open_feature_file(path, verify=False)
        with self._guard:
            index.files[name] = written

    def _remove(self, index: FeatureIndex, names: set[str]) -> None:
        with explained(index.folder, "written"):
            for name in names:
                (index.folder / name).unlink(missing_ok=True)
        with self._guard:
            index.refresh()

    @contextmanager
    def _locked(self, space: str, wait: bool = True) -> Iterator[None]:
        # Locks lie outside the spaces and are never removed: a lock whose file was pruned away
        # while somebody waited for it would protect nothing.
        path = self.folder / "locks" / f"{space}.lock"
        lock = FileLock(path)
        with explained(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not wait:
                    raise
                _LOG.info("Waiting for another process that computes the same features: %s", path)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _index(self, space: str) -> FeatureIndex:
        if not _is_space(space):
            raise ValueError(f"expected a hexadecimal name of a space, got {space!r}")
        with self._guard:
            return self._indexes.setdefault(space, FeatureIndex(self.folder / space))

    def _folders(self) -> list[Path]:
        """The spaces, and what is left of spaces that were being removed."""
        found = self.folder.glob("*")
        return [path for path in found if _is_space(path.name) or path.name.startswith(".gone-")]


def _is_space(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{1,128}", name) is not None


def _checked_keys(keys: Sequence[bytes] | Keys) -> Keys:
    if isinstance(keys, np.ndarray):
        # Never through Python bytes: numpy would drop zeros at a key's end.
        if keys.ndim != 1 or keys.dtype.itemsize != 16:
            raise ValueError(f"expected keys as S16 [rows], got {keys.dtype} {keys.shape}")
        return np.ascontiguousarray(keys).view("S16")
    for place, key in enumerate(keys):
        if len(key) != 16:
            raise ValueError(f"key {place} has {len(key)} bytes, expected 16")
    return np.frombuffer(b"".join(keys), "S16") if len(keys) else np.empty(0, "S16")


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
