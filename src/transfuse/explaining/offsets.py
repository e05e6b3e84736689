"""Where the characters of a mended text stood in the text that was given."""

import re
from difflib import SequenceMatcher

__all__ = ["origins"]

_WORD = re.compile(r"\S+")

_PAIRS = 250_000
"""Character pairs up to which two stretches are compared letter by letter."""


def origins(given: str, mended: str) -> list[int]:
    """The place in a text of each character of its mended form.

    Mending collapses white space, removes invisible characters and composes accents, so that words
    keep their order. Words that are the same are found as wholes; in the others letters are.

    Args:
        given: The text.
        mended: The same after `transfuse.data.clean`.

    Returns:
        For each character of `mended` a place in `given`, ascending.
    """
    if given == mended:
        return list(range(len(mended)))
    places = [-1] * len(mended)
    old = [(found.start(), found.end()) for found in _WORD.finditer(given)]
    new = [(found.start(), found.end()) for found in _WORD.finditer(mended)]
    matcher = SequenceMatcher(
        None, [given[a:b] for a, b in old], [mended[a:b] for a, b in new], autojunk=False
    )
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            for (start, _), (first, last) in zip(
                old[old_from:old_to], new[new_from:new_to], strict=True
            ):
                places[first:last] = range(start, start + last - first)
        elif kind == "replace":
            before = old[old_from][0], old[old_to - 1][1]
            after = new[new_from][0], new[new_to - 1][1]
            _by_letters(given, before, mended, after, places)
    known = 0
    for place, found in enumerate(places):
        known = max(known, found)
        places[place] = known
    return places


def _by_letters(
    given: str, before: tuple[int, int], mended: str, after: tuple[int, int], places: list[int]
) -> None:
    """Fills the places of a stretch whose words differ."""
    old, new = given[slice(*before)], mended[slice(*after)]
    for at in range(len(new)):
        places[after[0] + at] = before[0] + at * len(old) // len(new)
    if len(old) * len(new) > _PAIRS:
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for block in matcher.get_matching_blocks():
        first = after[0] + block.b
        start = before[0] + block.a
        places[first : first + block.size] = range(start, start + block.size)
