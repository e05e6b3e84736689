"""What is compared of the rows of a table: their texts, and the files that they hold."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

from transfuse.data.columns import WRITTEN
from transfuse.data.near import NearIndex, jaccard, shingles
from transfuse.data.schema import Role
from transfuse.data.table import Table

__all__ = ["Contents", "NearRows", "contents_of"]

_FILES = (Role.IMAGE, Role.AUDIO)

# As numpy gives it back from an array of 16 bytes, without zeros at the end.
_ABSENT = blake2b(digest_size=16).digest().rstrip(b"\0")
"""The key of a file that is missing."""


@dataclass(frozen=True)
class Contents:
    """What is compared of each row.

    Args:
        texts: The written text, several columns as one; None if the table has none.
        files: The key of each row's file, by role; a picture that is missing has a key too.
        pictures: The pictures; None if the table has none.
        others: Values of fields, which tell rows apart but are not compared alone.
    """

    texts: list[str] | None
    files: dict[Role, list[bytes]]
    pictures: Any = None
    others: list[tuple[Any, ...]] | None = None

    def __bool__(self) -> bool:
        return self.texts is not None or bool(self.files)

    @property
    def written_only(self) -> bool:
        """Whether texts are all that is read."""
        return not self.files and self.others is None

    @property
    def comparable(self) -> bool:
        """Whether rows can be nearly the same; sounds are only ever equal."""
        return Role.AUDIO not in self.files and (self.texts is not None or bool(self.files))

    def looks(self, rows: Sequence[int]) -> Iterator[tuple[int, str | None, Any]]:
        """Some rows, each with its text and the sketch of its picture, as `NearRows` takes them.

        Args:
            rows: The rows, from 0.
        """
        sketches: Iterator[Any] = iter([None] * len(rows))
        if self.pictures is not None:
            from transfuse.data.images import sketch_all

            sketches = sketch_all(self.pictures.take(rows))
        for row, sketch in zip(rows, sketches, strict=True):
            yield row, None if self.texts is None else self.texts[row], sketch

    def empty(self, row: int) -> bool:
        """Whether a row has nothing to read.

        Args:
            row: The row, from 0.
        """
        if self.texts is not None and self.texts[row].strip():
            return False
        if any(keys[row] != _ABSENT for keys in self.files.values()):
            return False
        return self.others is None or all(value is None for value in self.others[row])

    def keys(self, written: Callable[[str], str] | None = None) -> list[Hashable]:
        """A key of each row, equal for equal content.

        Args:
            written: What is compared of a text. Default: all of it.
        """
        texts = self.texts
        if texts is not None and written is not None:
            texts = list(map(written, texts))
        if texts is not None and self.written_only:
            return list(texts)
        parts: list[Sequence[Any]] = [*([] if texts is None else [texts]), *self.files.values()]
        return list(zip(*parts, *([] if self.others is None else [self.others]), strict=True))

    def shown(self, row: int, written: Callable[[str], str]) -> str:
        """A row in words: its text, or the name of its file.

        Args:
            row: The row, from 0.
            written: How a text is shown.
        """
        if self.texts is not None and (self.texts[row] or self.pictures is None):
            return written(self.texts[row])
        picture = None if self.pictures is None else self.pictures[row]
        if picture is None:
            return "a file" if self.files else "nothing"
        path = PurePath(picture.path) if picture.path else None
        return picture.name if path is None else "/".join(path.parts[-2:])


def contents_of(table: Table, roles: Sequence[Role] | None = None) -> Contents:
    """What is compared of a table's rows.

    Args:
        table: The rows; the files of pictures and sounds are read for their keys.
        roles: Which roles to compare. Default: all that are read, fields among them only to tell
            rows apart.
    """
    wanted = [*WRITTEN, *_FILES, Role.FIELDS] if roles is None else roles
    columns = [
        name for name, role in table.schema.roles.items() if role in WRITTEN and role in wanted
    ]
    texts = None
    if len(columns) == 1:
        texts = [text or "" for text in table.values(columns[0])]
    elif columns:
        rows = zip(*map(table.values, columns), strict=True)
        texts = ["\n".join(text or "" for text in row) for row in rows]
    files: dict[Role, list[bytes]] = {}
    pictures = None
    for role in _FILES:
        if role in wanted and table.schema.has(role):
            part: Any = table.inputs((role,))
            files[role] = part.keys().tolist()
            pictures = part if role == Role.IMAGE else pictures
    others = None
    if Role.FIELDS in wanted and table.schema.has(Role.FIELDS) and (files or texts is not None):
        names = table.schema.columns(Role.FIELDS)
        others = list(zip(*map(table.values, names), strict=True))
    return Contents(texts, files, pictures, others)


class NearRows:
    """Rows by number, asked for those that are nearly another row.

    Texts are near by their runs of words, pictures by their perceptual hash and colours; rows with
    both are near where both are.

    Args:
        threshold: Least Jaccard similarity of the runs of words of texts.
        pictures: Whether the rows have pictures.
    """

    def __init__(self, threshold: float, pictures: bool) -> None:
        self._threshold = threshold
        self._texts = None if pictures else NearIndex(threshold)
        self._pictures = None
        if pictures:
            # Not at the top: tables of text need not wait for what opens pictures.
            from transfuse.data.images import NearPictures

            self._pictures = NearPictures()
        self._written: dict[int, str] = {}

    def add(self, number: int, text: str | None, look: Any) -> None:
        """Adds a row under a number that is not in use.

        Args:
            number: The number.
            text: Its text, or None.
            look: The sketch of its picture, or None.
        """
        if self._texts is not None:
            self._texts.add(number, text or "")
        elif self._pictures is not None and look is not None:
            self._pictures.add(number, look)
            if text is not None:
                self._written[number] = text

    def near(self, text: str | None, look: Any) -> Iterator[tuple[int, float]]:
        """The rows near another, and how alike they are, 0 to 1.

        Args:
            text: Its text, or None.
            look: The sketch of its picture, or None.
        """
        if self._texts is not None:
            yield from self._texts.near(text or "")
        elif self._pictures is not None and look is not None:
            for number, bits in self._pictures.near(look):
                if text is None or self._alike(text, number):
                    yield number, 1 - bits / 64

    def _alike(self, text: str, number: int) -> bool:
        other = shingles(self._written.get(number, ""))
        return jaccard(shingles(text), other) >= self._threshold
