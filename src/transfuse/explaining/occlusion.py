"""Leaving words out, one at a time: what the score loses is what the word gave.

It asks the model nothing but answers, so it works for every model folder.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import ModelFolder
from transfuse.answering.reading import mended_texts
from transfuse.data.segment import HAN
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation, TokenWeight, relative_gap
from transfuse.explaining.words import words

__all__ = ["log_odds", "occlude"]

_AT_ONCE = 16
"""Texts between two looks at the clock."""

_SURE = 1e-7
"""Probabilities nearer to 0 or 1 than this are taken as this far: 32-bit softmax ends there."""


def occlude(
    model: ModelFolder,
    text: str,
    label: int | None,
    most: int = 256,
    deadline: Deadline | None = None,
) -> Explanation:
    """Explain one text by leaving out its words, all in one call of the model.

    Args:
        model: The model.
        text: The text.
        label: The label's number; None for the most probable.
        most: Parts that are left out at the most; in a longer text neighbouring words are left
            out together. Default: 256.
        deadline: When to give up; the model is called for a few words at a time then.
            Default: never.

    Returns:
        The explanation.
    """
    spans = _grouped(words(text), most)
    variants = [text, "", *(_without(text, *span) for span in spans)]
    scores = _scores(model, mended_texts(model, variants), deadline)
    chosen = int(scores[0].argmax()) if label is None else label
    number = model.task.kind == "regression"
    values = scores[:, chosen] if number else log_odds(scores[:, chosen])
    full, bare, *left = values.tolist()
    weights = [full - each for each in left]
    tokens = tuple(
        TokenWeight(text[start:end], start, end, weight)
        for (start, end), weight in zip(spans, weights, strict=True)
    )
    return Explanation(
        text=text,
        label=model.task.label_names[chosen],
        method="occlusion",
        score=full,
        baseline=bare,
        tokens=tokens,
        gap=relative_gap(weights, full - bare),
        probability=None if number else float(scores[0, chosen]),
    )


def _scores(
    model: ModelFolder, texts: Sequence[str], deadline: Deadline | None
) -> NDArray[np.float64]:
    if deadline is None:
        return model.scores(texts)
    found = []
    for start in range(0, len(texts), _AT_ONCE):
        deadline.check()
        found.append(model.scores(texts[start : start + _AT_ONCE]))
    return np.concatenate(found)


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(p / (1 - p)), with p kept a ten millionth away from 0 and 1.

    Args:
        probability: Probabilities of any shape.
    """
    kept = np.clip(probability, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept) - np.log1p(-kept))


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
