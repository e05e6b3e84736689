"""Where the characters of a mended text stood in the text that was given."""

import itertools
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

__all__ = ["origins"]

_WORD = re.compile(r"\S+")

_PAIRS = 10_000
"""Character pairs up to which two stretches are compared letter by letter."""

_AHEAD = 4
"""Words that are looked at ahead, on each side, for where the texts are the same again."""

_STEPS = sorted(
    set(itertools.product(range(_AHEAD + 1), repeat=2)) - {(0, 0)},
    key=lambda step: (max(step), abs(step[0] - step[1])),
)
"""Ways ahead in both texts, the shortest first, and of those as many words on both sides."""


def origins(given: str, mended: str) -> list[int]:
    """The place in a text of each character of its mended form.

    Mending collapses white space, removes invisible characters and composes accents, so that words
    keep their order. Words that are the same are found as wholes, going along both texts at once;
    in the others letters are. The time grows as the length of the texts does.

    Args:
        given: The text.
        mended: The same after `transfuse.data.clean`.

    Returns:
        For each character of `mended` a place in `given`, ascending.
    """
    if given == mended:
        return list(range(len(mended)))
    places = [-1] * len(mended)
    old = [found.span() for found in _WORD.finditer(given)]
    new = [found.span() for found in _WORD.finditer(mended)]
    words = [given[slice(*span)] for span in old], [mended[slice(*span)] for span in new]
    for first, last, begin, end in _stretches(*words):
        if last - first == end - begin:
            # As many words on both sides are the same words, mended.
            pairs = list(zip(old[first:last], new[begin:end], strict=True))
        else:
            pairs = [((old[first][0], old[last - 1][1]), (new[begin][0], new[end - 1][1]))]
        for before, after in pairs:
            _by_letters(given, before, mended, after, places)
    known = 0
    for place, found in enumerate(places):
        known = max(known, found)
        places[place] = known
    return places


def _stretches(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """What belongs together: from and to which word of either text, one or more of each."""

    def same(first: int, second: int) -> bool:
        return first < len(old) and second < len(new) and old[first] == new[second]

    def again(first: int, second: int) -> bool:
        # One word may be the same by chance; the next one, or the one after it, is asked too.
        ends = first + 1 >= len(old) or second + 1 >= len(new)
        near = ((1, 1), (2, 1), (1, 2))
        return same(first, second) and (ends or any(same(first + i, second + j) for i, j in near))

    first = second = 0
    while first < len(old) and second < len(new):
        begun = first, second
        if old[first] == new[second]:
            first, second = first + 1, second + 1
            yield begun[0], first, begun[1], second
            continue
        while first < len(old) and second < len(new) and old[first] != new[second]:
            steps = (step for step in _STEPS if again(first + step[0], second + step[1]))
            ahead = next(steps, (1, 1))
            first, second = first + ahead[0], second + ahead[1]
        if begun[0] < first and begun[1] < second:
            yield begun[0], first, begun[1], second


def _by_letters(
    given: str, before: tuple[int, int], mended: str, after: tuple[int, int], places: list[int]
) -> None:
    """Fills the places of a stretch."""
    old, new = given[slice(*before)], mended[slice(*after)]
    for at in range(len(new)):
        places[after[0] + at] = before[0] + at * len(old) // len(new)
    if old == new or len(old) * len(new) > _PAIRS:
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for block in matcher.get_matching_blocks():
        first = after[0] + block.b
        start = before[0] + block.a
        places[first : first + block.size] = range(start, start + block.size)
