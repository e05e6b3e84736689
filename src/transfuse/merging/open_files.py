"""Files that stay open as long as one thread works on them."""

from contextlib import AbstractContextManager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["OpenFiles"]


class OpenFiles(AbstractContextManager["OpenFiles"]):
    """Opens each file when it is first asked for, and closes all of them at the end.

    Args:
        mode: How they are opened, as `FileIO` takes it.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._open: dict[Path, FileIO] = {}

    def file(self, path: Path) -> FileIO:
        """An open file.

        Args:
            path: Where it is.
        """
        found = self._open.get(path)
        if found is None:
            found = self._open[path] = FileIO(path, self._mode)
        return found

    def __enter__(self) -> Self:
        """The files themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()
