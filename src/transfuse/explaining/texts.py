"""The parts of a text: its words, and the text with some of them left out."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from transfuse.answering import ModelFolder
from transfuse.answering.reading import mended_texts
from transfuse.data.segment import HAN
from transfuse.explaining.explanation import TokenWeight
from transfuse.explaining.words import words

__all__ = ["TextParts"]


class TextParts:
    """A text that a model can be asked about with words of it left out; see `Parts`.

    Args:
        model: The model that it is mended for.
        text: The text.
        most: Parts that are left out at the most; in a longer text neighbouring words are left
            out together. Default: 256.
    """

    size = None
    at_once = None

    def __init__(self, model: ModelFolder, text: str, most: int = 256) -> None:
        self.text = text
        self._model = model
        self._spans = _grouped(words(text), most)

    def variants(self) -> Iterator[str]:
        """See `Parts.variants`."""
        without = [_without(self.text, *span) for span in self._spans]
        yield from mended_texts(self._model, [self.text, "", *without])

    def units(self, weights: list[float]) -> tuple[TokenWeight, ...]:
        """See `Parts.units`."""
        return tuple(
            TokenWeight(self.text[start:end], start, end, weight)
            for (start, end), weight in zip(self._spans, weights, strict=True)
        )


def _without(text: str, start: int, end: int) -> str:
    """The text without a part; two words that it held apart are not run together."""
    before, after = text[:start], text[end:]
    if before[-1:].isalnum() and after[:1].isalnum() and not HAN.match(before[-1]):
        return f"{before} {after}"
    return before + after


def _grouped(spans: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Neighbours put together until there are no more than so many."""
    if len(spans) <= most:
        return list(spans)
    edges = np.linspace(0, len(spans), most + 1).astype(int).tolist()
    return [(spans[first][0], spans[last - 1][1]) for first, last in itertools.pairwise(edges)]
