"""Augmentation that keeps the label: slightly different rows from the same ones.

One interface: an augmentation is a frozen dataclass, called with a row and a generator. Those of
pictures are in `augment_pictures.py`. None of those of texts touches a negation, what it denies
("not very good"), or signs such as emoji; none makes a negation of another word, and no text loses
all of its words. Chinese and Japanese, which put no space between words, are varied by
characters.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.data.augment_pictures import PICTURE_AUGMENTATIONS, MildPicture
from transfuse.data.augmentation import Augmentation
from transfuse.data.rows import Records
from transfuse.data.schema import Role
from transfuse.data.seeds import seed_for
from transfuse.data.segment import is_negation
from transfuse.errors import Problem, RecipeError

__all__ = ["AUGMENTATIONS", "Augmentation", "Augmenting", "Typos", "WordDropout", "WordSwap"]

_SINGLE = "\u3041-\u3096\u30a1-\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters that are units of their own: kana and Han."""

_UNIT = re.compile(rf"[{_SINGLE}]|[^\s{_SINGLE}]+")
_ALONE = re.compile(rf"[{_SINGLE}]")
_EDGES = re.compile(r"^\W+|\W+$")

_REACH = 3
"""Words (or characters) after a negation that it may deny, unless a sign ends the clause before."""

_CLAUSE_ENDS = tuple(".,;:!?。，、；：！？")

_DOUBLED, _LEFT_OUT, _SWAPPED = range(3)


def _check_rate(rate: float) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be from 0 to below 1, got {rate}")


@dataclass(frozen=True)
class WordDropout(Augmentation):
    """Leaves out each word with a small probability (Wei and Zou 2019, arXiv:1901.11196).

    Where words are not written apart, characters take their place.
    """

    rate: float = 0.1
    """Probability that a word is left out, from 0 to below 1. Default: 0.1."""

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def __call__(self, row: str, rng: np.random.Generator) -> str:
        """The text without some of its words; at least one stays."""
        units, gaps = _units(row)
        free = _free(units)
        dropped = (rng.random(len(units)) < self.rate) & free
        words = np.array([_is_word(unit) for unit in units], dtype=np.bool_)
        if not dropped.any():
            return row
        if not (words & ~dropped).any():
            dropped[rng.choice(np.flatnonzero(dropped))] = False
        kept = np.flatnonzero(~dropped).tolist()
        return (gaps[0] + "".join(units[unit] + gaps[unit + 1] for unit in kept)).strip()


@dataclass(frozen=True)
class WordSwap(Augmentation):
    """Lets neighbouring words change places with a small probability.

    Where words are not written apart, characters take their place.
    """

    rate: float = 0.1
    """Probability that a word changes places with the next, from 0 to below 1. Default: 0.1."""

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def __call__(self, row: str, rng: np.random.Generator) -> str:
        """The text with some neighbours swapped; each word moves at most one place."""
        units, gaps = _units(row)
        free = _free(units)
        drawn = rng.random(len(units)) < self.rate
        place = 0
        while place < len(units) - 1:
            if drawn[place] and free[place] and free[place + 1]:
                units[place], units[place + 1] = units[place + 1], units[place]
                place += 1
            place += 1
        return gaps[0] + "".join(unit + gap for unit, gap in zip(units, gaps[1:], strict=True))


@dataclass(frozen=True)
class Typos(Augmentation):
    """Makes slips of the keyboard: a letter doubled, left out, or swapped with the next.

    The first letter of a word stays, as in people's own slips, and so do digits. Belinkov and Bisk
    (2018, arXiv:1711.02173) show how much such noise matters to models.
    """

    rate: float = 0.03
    """Probability of a slip at each letter, from 0 to below 1. Default: 0.03."""

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def __call__(self, row: str, rng: np.random.Generator) -> str:
        """The text with a few slips."""
        units, gaps = _units(row)
        done = [gaps[0]]
        for piece, free, gap in _pieces(units, gaps, _free(units)):
            # Drawn for each letter, whether used or not: a slip changes no later draw.
            slips = rng.random(len(piece)) < self.rate
            kinds = rng.integers(0, 3, len(piece))
            varied = _slipped(piece, slips.tolist(), kinds.tolist()) if free else piece
            done.append((piece if _denies(varied) else varied) + gap)
        return "".join(done)


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "word_dropout": WordDropout,
    "word_swap": WordSwap,
    "typos": Typos,
    **PICTURE_AUGMENTATIONS,
}
"""The augmentations by name; a new one of texts is one more line here."""

_USUAL: dict[Role, Augmentation] = {Role.TEXT: WordDropout(), Role.IMAGE: MildPicture()}


@dataclass(frozen=True)
class Augmenting:
    """How rows are varied: `augment` in a recipe."""

    methods: tuple[Augmentation, ...] = ()
    """What is done to a row, one after the other. Default: where none is named, `word_dropout` to
    texts and `mild_picture` to pictures."""

    variants: int = 4
    """Varied copies of each row; every epoch shows the next. Default: 4."""

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise ValueError("variants is at least 1")

    def vary(self, rows: Sequence[Any], seed: int) -> list[Sequence[Any]]:
        """The varied copies of rows, one sequence of all rows for each copy.

        Args:
            rows: Texts or pictures as `Table.inputs` gives them. Copies of pictures are lazy: each
                is made when it is decoded. Of `Records` the texts and the pictures are varied
                that a method is for; other columns stay as they are.
            seed: The run's seed.

        Raises:
            RecipeError: If no method is for what the rows are.
        """
        parts = rows.parts if isinstance(rows, Records) else {str(_role(rows)): rows}
        chosen = {role: self._methods(role) for role in parts}
        if not any(chosen.values()):
            raise RecipeError(_unfit(parts, self.methods))
        copies: list[Sequence[Any]] = []
        for number in range(self.variants):
            copy = {
                role: _varied(part, chosen[role], seed_for(seed, "augment", number))
                for role, part in parts.items()
            }
            copies.append(Records(copy) if isinstance(rows, Records) else next(iter(copy.values())))
        return copies

    def _methods(self, role: str) -> tuple[Augmentation, ...]:
        """Those that are for columns of a role."""
        if not self.methods:
            return tuple(method for reads, method in _USUAL.items() if reads == role)
        return tuple(method for method in self.methods if method.reads == role)


def _role(rows: Sequence[Any]) -> Role:
    if all(isinstance(row, str) for row in rows[:1]):
        return Role.TEXT
    # Loading what opens pictures takes time that tables of text need not wait for.
    from transfuse.data.images.pictures import Pictures

    return Role.IMAGE if isinstance(rows, Pictures) else Role.AUDIO


def _unfit(parts: Collection[str], methods: Sequence[Augmentation] | None) -> Problem:
    read = " and ".join(parts)
    names = {kind: name for name, kind in AUGMENTATIONS.items()}
    fit = [name for name, kind in AUGMENTATIONS.items() if kind.reads in parts]
    if not methods or not fit:
        return Problem("augment", f"nothing varies {read}", fix="Leave `augmented` out of `learn`.")
    given = ", ".join(f"{names[type(method)]} (for {method.reads})" for method in methods)
    return Problem("augment", f"the model reads {read}, got {given}", f"one of {', '.join(fit)}")


def _varied(rows: Sequence[Any], methods: tuple[Augmentation, ...], seed: int) -> Sequence[Any]:
    if not methods:
        return rows
    if methods[0].reads == Role.IMAGE:
        from transfuse.data.images.augment import VariedPictures
        from transfuse.data.images.pictures import Pictures

        pictures = rows if isinstance(rows, Pictures) else Pictures.of(rows)
        return VariedPictures(pictures, methods, seed)
    rng = np.random.default_rng(seed)
    copy = list(rows)
    for method in methods:
        # A text that is missing stays so.
        copy = [method(text, rng) if text is not None else None for text in copy]
    return copy


def _units(text: str) -> tuple[list[str], list[str]]:
    """Words (characters of unspaced scripts), and the gaps before, between and after them."""
    found = list(_UNIT.finditer(text))
    ends = [0, *(unit.end() for unit in found)]
    starts = [*(unit.start() for unit in found), len(text)]
    return [unit.group() for unit in found], [
        text[end:start] for end, start in zip(ends, starts, strict=True)
    ]


def _is_word(unit: str) -> bool:
    return any(letter.isalnum() for letter in unit)


def _denies(unit: str) -> bool:
    return is_negation(_EDGES.sub("", unit))


def _free(units: list[str]) -> npt.NDArray[np.bool_]:
    """Which units may be changed: words that neither deny nor are denied."""
    free = np.array([_is_word(unit) for unit in units], dtype=np.bool_)
    reach = 0
    for place, unit in enumerate(units):
        if _denies(unit):
            reach = _REACH + 1
        if reach:
            free[place] = False
            reach -= 1
        if unit.endswith(_CLAUSE_ENDS):
            reach = 0
    return free


def _pieces(
    units: list[str], gaps: list[str], free: npt.NDArray[np.bool_]
) -> list[tuple[str, bool, str]]:
    """Stretches in which letters may slip past each other, whether they may, and the gap after.

    A word is one; so are characters of unspaced scripts that stand together and may be changed.
    """
    pieces: list[tuple[str, bool, str]] = []
    for unit, gap, may in zip(units, gaps[1:], free.tolist(), strict=True):
        if pieces and may and _ALONE.match(unit):
            before, before_may, between = pieces[-1]
            if before_may and not between and _ALONE.match(before):
                pieces[-1] = (before + unit, True, gap)
                continue
        pieces.append((unit, may, gap))
    return pieces


def _slipped(piece: str, slips: list[bool], kinds: list[int]) -> str:
    letters = list(piece)
    # Only between letters: neither the first of a word, nor digits and signs.
    inside = [
        at > 0 and letter.isalpha() and letters[at - 1].isalpha()
        for at, letter in enumerate(letters)
    ]
    at = 0
    while at < len(letters):
        if slips[at] and inside[at]:
            if kinds[at] == _DOUBLED:
                letters[at] *= 2
            elif kinds[at] == _LEFT_OUT:
                letters[at] = ""
            elif kinds[at] == _SWAPPED and at + 1 < len(letters) and inside[at + 1]:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
                at += 1
        at += 1
    return "".join(letters)
