"""Which rows a space of the feature store holds, as one process has last seen it."""

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from transfuse.errors import ModelError, Problem, TransfuseError
from transfuse.models.feature_file import (
    DamagedFileError,
    FeatureFile,
    Features,
    Keys,
    open_feature_file,
)

__all__ = ["FeatureIndex", "explained", "replaced_names"]

_LOG = logging.getLogger(__name__)
_REQUESTS = "requests"
_ELSEWHERE = "set TRANSFUSE_CACHE to a folder elsewhere"
_FIXES = {
    errno.ENOSPC: f"Free some disk space, prune the store, or {_ELSEWHERE}.",
    errno.EDQUOT: f"Your disk quota is used up: prune the store, or {_ELSEWHERE}.",
    errno.EACCES: f"Mend the permissions, or {_ELSEWHERE}.",
    errno.EPERM: f"Mend the permissions, or {_ELSEWHERE}.",
    errno.EROFS: f"The disk is read-only: {_ELSEWHERE}.",
    errno.EEXIST: f"A file stands where a folder should be: move it, or {_ELSEWHERE}.",
    errno.ENOTDIR: f"A file stands where a folder should be: move it, or {_ELSEWHERE}.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n`).",
}


@dataclass
class FeatureIndex:
    """The feature files of one space, and where in them each key stands.

    Args:
        folder: The space.

    Attributes:
        files: Every file seen, by name; None where it was damaged. A name, once given, stands for
            the same content for ever.
        features: The rows of each sound file.
    """

    folder: Path
    files: dict[str, FeatureFile | None] = field(default_factory=dict)
    features: tuple[Features, ...] = ()
    _indexed: list[str] = field(default_factory=list)
    _keys: Keys = field(default_factory=lambda: np.empty(0, "S16"))
    _order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def listing(self) -> list[str]:
        """The names of the files that lie in the folder now."""
        return sorted(path.name for path in self.folder.glob("[0-9]*.safetensors"))

    def sound(self) -> list[FeatureFile]:
        """The files that can be read."""
        return [file for file in self.files.values() if file]

    def computed(self) -> int:
        """Rows ever computed for this space, which each file's name begins with."""
        return max((int(name.partition("-")[0]) for name in self.listing()), default=0)

    def note_request(self, rows: int) -> None:
        """Counts rows that were asked for; a shared folder that may only be read counts none."""
        # Appending eight bytes is one write, so processes need no lock for it.
        with suppress(OSError):
            handle = os.open(self.folder / _REQUESTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, np.int64(rows).tobytes())
            finally:
                os.close(handle)

    def requested(self) -> int:
        """Rows ever asked for, by all processes."""
        try:
            noted = (self.folder / _REQUESTS).read_bytes()
        except FileNotFoundError:
            return 0
        whole = noted[: len(noted) // 8 * 8]
        return int(np.frombuffer(whole, np.int64).sum()) if whole else 0

    def last_used(self) -> int:
        """When rows were last asked for, in nanoseconds."""
        for path in (self.folder / _REQUESTS, self.folder):
            with suppress(FileNotFoundError):
                return path.stat().st_mtime_ns
        return 0

    def refresh(self) -> None:
        """Opens files that have come, forgets those that have gone, and sorts the keys anew.

        Raises:
            TransfuseError: If a file may not be read.
        """
        names = self.listing()
        if names == self._indexed:
            return
        for name in names:
            if name not in self.files:
                self.files[name] = self._opened(name)
        self.files = {name: self.files[name] for name in names}
        self.features = tuple(file.features for file in self.sound())
        keys = np.concatenate([np.empty(0, "S16"), *(file.keys for file in self.sound())])
        self._order = np.argsort(keys, kind="stable").astype(np.int64)
        self._keys = keys[self._order]
        self._indexed = names

    def find(self, wanted: Keys) -> npt.NDArray[np.int64]:
        """Where each key stands.

        Args:
            wanted: Keys, S16 [n].

        Returns:
            The row, counted over all `features`, or -1 where the key is unknown; int64 [n].
        """
        if not len(self._keys):
            return np.full(len(wanted), -1, np.int64)
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[place] == wanted, self._order[place], -1)

    def check_like(self, features: Features) -> None:
        """Refuses rows of another kind than those that the space holds.

        Args:
            features: New rows.

        Raises:
            ModelError: If number type or shape differ.
        """
        held = next((file.features for file in self.files.values() if file), features)
        new = (features.dtype, features.values.shape[1:])
        if (held.dtype, held.values.shape[1:]) != new:
            raise ModelError(
                Problem(
                    str(self.folder),
                    f"computed vectors are {new[0]} {new[1]}",
                    f"{held.dtype} {held.values.shape[1:]}, as those kept there",
                    "Remove this folder if the model has changed under the same name.",
                )
            )

    def _opened(self, name: str) -> FeatureFile | None:
        try:
            with explained(self.folder / name, "read"):
                return open_feature_file(self.folder / name)
        except FileNotFoundError:  # merged away since the listing; its rows are in another file
            return None
        except DamagedFileError as damage:
            _LOG.warning("Ignored, to be computed anew: %s", damage)
            return None


def replaced_names(files: Sequence[FeatureFile]) -> set[str]:
    """The names of the files whose rows stand in one of these as well."""
    return {name for file in files for name in file.replaces}


@contextmanager
def explained(path: Path, done: str) -> Iterator[None]:
    """Turns an error of the disk into one that says what to do.

    Args:
        path: What is being worked on.
        done: What is being done to it, as a participle: `written`.

    Yields:
        Nothing.

    Raises:
        TransfuseError: For a full or read-only disk, missing rights and the like. Any other error
            passes as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FIXES:
            raise
        what = f"cannot be {done}: {os.strerror(error.errno).lower()}"
        raise TransfuseError(Problem(str(path), what, fix=_FIXES[error.errno])) from error
