"""The words of a text with their places: in any script, with Chinese cut by its dictionary."""

import unicodedata
from collections.abc import Iterator

from transfuse.data import segment
from transfuse.data.segment import HAN

__all__ = ["words"]

_WITHIN = "'’-"
"""Marks that hold two parts of a word together."""


def words(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends.

    A word is a run of letters, marks and digits of one kind of script; in Chinese it is what the
    dictionary says. Other signs that are no white space (punctuation, emoji) count as words too,
    run by run, since they may say as much as any.

    Args:
        text: Any text.

    Returns:
        Start and end of each word in characters, in their order; no two overlap, and what lies
        between them is white space.
    """
    found: list[tuple[int, int]] = []
    for kind, start, end in _runs(text):
        if kind == "han":
            found += _chinese(text[start:end], start)
        elif kind != "space":
            found.append((start, end))
    return found


def _runs(text: str) -> Iterator[tuple[str, int, int]]:
    """Runs of characters of one kind."""
    start = 0
    kind = ""
    for place, letter in enumerate(text):
        here = _kind(letter, kind)
        if letter in _WITHIN and kind == "word" and _kind(text[place + 1 : place + 2], "") == kind:
            here = kind
        if here != kind:
            if place:
                yield kind, start, place
            start, kind = place, here
    if text:
        yield kind, start, len(text)


def _kind(letter: str, before: str) -> str:
    if not letter or letter.isspace():
        return "space"
    if HAN.match(letter):
        return "han"
    category = unicodedata.category(letter)
    if category[0] in "MC" and before not in ("", "space"):
        # Accents, joiners and selectors belong to what they stand behind.
        return before
    if category[0] in "LN":
        return "kana" if "\u3040" <= letter <= "\u30ff" else "word"
    return "mark" if category[0] == "P" else "symbol"


def _chinese(run: str, start: int) -> list[tuple[int, int]]:
    pieces = segment(run, "zh")
    if "".join(pieces) != run:
        # Characters that the dictionary does not know at all: each is a word.
        pieces = list(run)
    found = []
    for piece in pieces:
        found.append((start, start + len(piece)))
        start += len(piece)
    return found
