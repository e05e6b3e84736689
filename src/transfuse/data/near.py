"""Texts that are nearly the same: shingles, and an index that finds texts which share most of them.

Broder (1997), 'On the resemblance and containment of documents': two texts resemble each other as
far as their sets of short runs of words overlap (Jaccard similarity). MinHash and locality-
sensitive hashing find the candidates without comparing every pair; each candidate is then
compared exactly, so nothing is called near that is not.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NearIndex", "folded", "jaccard", "shingles"]

_WORDS = 3
_CHARACTERS = 5

_WORD = re.compile(r"\w+(?:['’]\w+)*")

# Thai to Lao, Myanmar, Khmer, kana, Han: written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)

_LONGEST_WORD = 30
"""A single run of letters longer than this is text without spaces rather than a word."""

_PERMUTATIONS = 128

# Missing a pair is worse here than checking one in vain, since candidates are checked exactly.
_WEIGHTS = (0.02, 0.98)

_BATCH = 10_000
"""Shingles hashed at a time, so that a text of a megabyte needs no matrix of its length."""


def folded(text: str) -> str:
    """A text without the differences that do not change it.

    Args:
        text: Any text.

    Returns:
        The text after Unicode NFKC, in folded case, with runs of white space as one space.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shingles(text: str) -> frozenset[str]:
    """The short runs that a text consists of, each once.

    Args:
        text: Any text.

    Returns:
        Runs of 3 words, or of 5 characters where words are not written apart (Chinese, Japanese,
        Thai, and so on), without case and punctuation; a shorter text is one run. Empty only for
        white space.
    """
    plain = folded(text)
    words = _WORD.findall(plain)
    if not words:
        # Nothing but signs, such as emoji: the signs are the text.
        return _runs(plain.replace(" ", ""), _CHARACTERS, "")
    letters = "".join(words)
    unspaced = 2 * len(_UNSPACED.findall(letters)) > len(letters)
    if unspaced or (len(words) == 1 and len(letters) > _LONGEST_WORD):
        return _runs(letters, _CHARACTERS, "")
    return _runs(words, _WORDS, " ")


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """The share of what two sets hold together that both hold, from 0 to 1; 1 for empty sets."""
    shared = len(a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0


@dataclass
class NearIndex:
    """Texts by number, asked for those near another text.

    A pair exactly at the threshold is found with a probability of 0.96 to 0.99, a nearer one
    almost surely; a pair below it is never returned.

    Args:
        threshold: Least Jaccard similarity of the shingles, above 0, at most 1.

    Raises:
        ValueError: If the threshold is not in that range.
    """

    threshold: float
    _texts: dict[int, str] = field(default_factory=dict, init=False)
    _sizes: dict[int, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be above 0 and at most 1, got {self.threshold}")
        # Not at the top: it brings scipy's integration, a third of a second for each command.
        from datasketch import MinHash, MinHashLSH

        self._lsh = MinHashLSH(threshold=self.threshold, num_perm=_PERMUTATIONS, weights=_WEIGHTS)
        # crc32 rather than SHA-1: the hash need only spread, and is most of the time.
        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=zlib.crc32)

    def add(self, number: int, text: str) -> None:
        """Adds a text under a number that is not in use."""
        parts = shingles(text)
        self._texts[number], self._sizes[number] = text, len(parts)
        self._lsh.insert(number, self._sketch(parts), check_duplication=False)

    def near(self, text: str) -> Iterator[tuple[int, float]]:
        """The texts near a text.

        Args:
            text: Any text.

        Yields:
            The number of each text in the index that is near, rising, and its similarity.
        """
        parts = shingles(text)
        for number in sorted(self._lsh.query(self._sketch(parts))):
            smaller, larger = sorted((self._sizes[number], len(parts)))
            if smaller < self.threshold * larger:
                continue
            similarity = jaccard(parts, shingles(self._texts[number]))
            if similarity >= self.threshold:
                yield number, similarity

    def _sketch(self, parts: frozenset[str]) -> Any:
        sketch = self._empty.copy()
        encoded = [part.encode() for part in parts]
        for start in range(0, len(encoded), _BATCH):
            sketch.update_batch(encoded[start : start + _BATCH])
        return sketch


def _runs(items: str | list[str], length: int, joint: str) -> frozenset[str]:
    if not items:
        return frozenset()
    starts = range(max(1, len(items) - length + 1))
    return frozenset(joint.join(items[start : start + length]) for start in starts)
