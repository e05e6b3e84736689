"""One process at a time in an output folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from transfuse.errors import Problem, RunLockedError

__all__ = ["claimed"]


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it however the process ends.

    Args:
        folder: The output folder; it is made.

    Raises:
        RunLockedError: If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunLockedError(
            Problem(
                str(folder),
                "another process is working here",
                fix="Wait for it, stop it, or name another folder with --output.",
            )
        ) from None
    try:
        yield
    finally:
        lock.release()
