"""Answers that are kept while a long file is worked on, so that the same call goes on after a kill.

They lie in a hidden folder beside the output, in files that are written beside and renamed, each
named by its first row and the row after its last. A journal names the work; of other work nothing
is taken over.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
from filelock import FileLock, Timeout

from transfuse.errors import Problem, RunLockedError
from transfuse.files import write_whole

__all__ = ["Parts"]

_SECONDS = 5.0
"""Work that a kill may cost, but for the rows at hand."""

_ROWS = 65_536
"""Rows of a file at the most."""

_JOURNAL = "journal.json"


class Parts:
    """The answers so far; a context that holds them for this process.

    Args:
        output: The file that they are for.
        identity: Names the work: the input, the model and the options.
    """

    def __init__(self, output: Path, identity: str) -> None:
        self.folder = output.with_name(f".{output.name}.parts")
        self.done = 0
        """Rows from the start that are answered."""
        self._identity = identity
        self._lock = FileLock(self.folder.with_name(f".{output.name}.lock"))
        self._held: list[pa.Table] = []
        self._kept = 0
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        """Takes up what the same work has left.

        Raises:
            RunLockedError: If another process is at the same output.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            what = "another process is writing this file"
            fix = "Wait for it, stop it, or name another file."
            raise RunLockedError(Problem(str(self.folder), what, fix=fix)) from None
        journal = self.folder / _JOURNAL
        known = json.loads(journal.read_text(encoding="utf-8")) if journal.exists() else {}
        if known.get("identity") != self._identity:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_whole(journal, json.dumps({"identity": self._identity}))
        self._kept = self.done = max((stop for _, stop in self._files()), default=0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Keeps what is there if the work has failed, and clears it away if it is done."""
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            self.flush()
            if not self.done:
                shutil.rmtree(self.folder, ignore_errors=True)
        # While it is still held: whoever comes next makes a file of their own. Where an open file
        # cannot be removed it stays, and does no harm.
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def add(self, answers: pa.Table) -> None:
        """Keeps the answers to the next rows.

        Args:
            answers: One row for each; all calls have the same columns.
        """
        self._held.append(answers)
        self.done += answers.num_rows
        if time.monotonic() - self._since > _SECONDS or self.done - self._kept >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what is held in memory."""
        if self._held:
            rows = pa.concat_tables(self._held)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as writer:
                writer.write_table(rows)
            name = f"{self._kept:012d}-{self.done:012d}.arrow"
            write_whole(self.folder / name, sink.getvalue().to_pybytes())
            self._held, self._kept = [], self.done
        self._since = time.monotonic()

    def read(self, rows: int) -> Iterator[pa.Table]:
        """The answers from the first on.

        Args:
            rows: How many at a time; a divisor of what each call of `add` was given, but for the
                last.
        """
        for path, _ in self._files():
            part = pa.ipc.open_stream(path.read_bytes()).read_all()
            for start in range(0, part.num_rows, rows):
                yield part.slice(start, rows)

    def _files(self) -> list[tuple[Path, int]]:
        """The files that follow each other from row 0, each with the row after its last."""
        found: list[tuple[Path, int]] = []
        for path in sorted(self.folder.glob("*-*.arrow")):
            start, stop = (int(number) for number in path.stem.split("-"))
            if start != (found[-1][1] if found else 0):
                break
            found.append((path, stop))
        return found
