"""What the readers of text files share: opening, encodings, and lines that can be read again.

A reader walks over a `LineSource`. It knows the number of each line, keeps the lines of the record
at hand, and can go back to the one after the record's first line, which is how reading goes on
after a quote that never closes.
"""

import codecs
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from transfuse.errors import DataError, Problem

__all__ = ["LineSource", "check_encoding", "check_text", "open_text"]

_SHOWN = 20
_OTHERS = ("gb18030", "cp1252")


class LineSource:
    """Lines of an open file, numbered from 1.

    Args:
        file: Opened with `newline=""`, so that line ends inside quotes stay as they are.
    """

    def __init__(self, file: IO[str]) -> None:
        self.number = 0
        self.taken: list[str] = []
        self._file = file
        self._again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._file)
        self.number += 1
        self.taken.append(line)
        return line

    def start(self) -> None:
        """Begins a record at the next line."""
        self.taken.clear()

    def back(self) -> None:
        """Goes back to the line after the record's first."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1


def open_text(path: Path, encoding: str) -> IO[str]:
    """Opens a text file without touching its line ends; a UTF-8 byte order mark is skipped."""
    return path.open(encoding=_with_mark(encoding), newline="")


def check_encoding(path: Path, encoding: str) -> None:
    """Checks what can be known of a text file before it is read.

    Args:
        path: An existing file.
        encoding: The encoding that it should be in.

    Raises:
        DataError: If the file is empty, the encoding unknown, or the file in UTF-16 and the
            encoding another.
    """
    where = path.name
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        fix = "For instance utf-8, gb18030, latin-1 or utf-16."
        raise DataError(Problem(where, f"unknown encoding {encoding!r}", fix=fix)) from None
    with path.open("rb") as file:
        start = file.read(1024)
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        if path.stat().st_size <= 1024:
            raise DataError(Problem(where, "the file is empty", "a header and at least one row"))
        return
    if known.startswith(("utf-16", "utf-32")):
        return
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or 0.3 * len(start) < start.count(0) < 0.7 * len(start):
        even = start[0::2].count(0)
        wanted = "utf-16" if marked else "utf-16-be" if even > start.count(0) / 2 else "utf-16-le"
        raise DataError(
            Problem(
                where,
                "the file looks like UTF-16",
                encoding.upper(),
                f"Say encoding={wanted!r}, or save the file as UTF-8.",
            )
        )


def check_text(path: Path, encoding: str) -> None:
    """Finds every place of a file that its encoding cannot decode; called once decoding failed.

    Args:
        path: The file.
        encoding: The encoding that failed.

    Raises:
        DataError: With the line and the byte offset of the first 20 places and the count of the
            rest.
    """
    encoding = _with_mark(encoding)
    problems: list[Problem] = []
    count = offset = 0
    fix = _other_encodings(path)
    with path.open("rb") as file:
        # A line feed is never part of another character, but for the wide encodings.
        whole = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
        for number, line in enumerate([file.read()] if whole else file, start=1):
            try:
                line.decode(encoding if number == 1 else _unmarked(encoding))
            except UnicodeDecodeError as error:
                count += 1
                if count <= _SHOWN:
                    bad = line[error.start : error.start + 4].hex(" ")
                    place = f"byte {offset + error.start:,}"
                    where = f"{path.name}, {place if whole else f'line {number:,}, {place}'}"
                    what = f"bytes {bad} are not {_unmarked(encoding).upper()} ({error.reason})"
                    problems.append(Problem(where, what, fix=fix if count == 1 else ""))
            offset += len(line)
    if not problems:
        what = f"the file is not {_unmarked(encoding).upper()}"
        problems.append(Problem(path.name, what, fix="Say which encoding it is in."))
    if count > _SHOWN:
        problems.append(Problem(path.name, f"{count - _SHOWN:,} more such lines"))
    raise DataError(problems)


def _other_encodings(path: Path) -> str:
    with path.open("rb") as file:
        sample = file.read(1_000_000)
    for encoding in _OTHERS:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(sample)
        except UnicodeDecodeError:
            continue
        wide = sum("\u4e00" <= letter <= "\u9fff" for letter in text)
        strange = sum(not letter.isascii() for letter in text)
        # Almost any bytes decode as GB18030; Chinese text gives mostly common Chinese letters.
        if encoding != "gb18030" or wide > 0.8 * strange:
            return f"The file may be {encoding}: say encoding={encoding!r}, or save it as UTF-8."
    return "Save the file as UTF-8, or say which encoding it is in."


def _with_mark(encoding: str) -> str:
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _unmarked(encoding: str) -> str:
    return "utf-8" if encoding == "utf-8-sig" else encoding
