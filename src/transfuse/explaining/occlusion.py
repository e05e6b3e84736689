"""Leaving parts out, one at a time: what the score loses is what the part gave.

Zeiler and Fergus (2014, 'Visualizing and understanding convolutional networks', arXiv:1311.2901)
for patches of pictures; words of texts are left out in the same way. It asks the model nothing but
answers, so it works for every model folder.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import ModelFolder
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation, Units, relative_gap

__all__ = ["Parts", "log_odds", "occlude"]

_AT_ONCE = 16
"""Variants between two looks at the clock."""

_SURE = 1e-7
"""Probabilities nearer to 0 or 1 than this are taken as this far: 32-bit softmax ends there."""


class Parts(Protocol):
    """A row that a model can be asked about without some of its parts."""

    @property
    def text(self) -> str | None:
        """See `Explanation.text`."""

    @property
    def size(self) -> tuple[int, int] | None:
        """See `Explanation.size`."""

    @property
    def at_once(self) -> int | None:
        """Variants that are held in memory at a time; None for all of them."""

    def variants(self) -> Iterator[Any]:
        """The row as a model reads it, then without all of its parts, then without each."""

    def units(self, weights: list[float]) -> Units:
        """The parts with their weights.

        Args:
            weights: One for each part, in the order of `variants`.
        """


def occlude(
    model: ModelFolder, parts: Parts, label: int | None, deadline: Deadline | None = None
) -> Explanation:
    """Explain an answer by leaving out parts, in as few calls of the model as memory allows.

    Args:
        model: The model.
        parts: The row and its parts.
        label: The label's number; None for the most probable.
        deadline: When to give up; the model is called for a few variants at a time then.
            Default: never.

    Returns:
        The explanation.
    """
    scores = _scores(model, parts, deadline)
    chosen = int(scores[0].argmax()) if label is None else label
    number = model.task.kind == "regression"
    values = scores[:, chosen] if number else log_odds(scores[:, chosen])
    full, bare, *left = values.tolist()
    weights = [full - each for each in left]
    return Explanation(
        label=model.task.label_names[chosen],
        method="occlusion",
        score=full,
        baseline=bare,
        units=parts.units(weights),
        gap=relative_gap(weights, full - bare),
        text=parts.text,
        size=parts.size,
        probability=None if number else float(scores[0, chosen]),
    )


def _scores(model: ModelFolder, parts: Parts, deadline: Deadline | None) -> NDArray[np.float64]:
    at_once = parts.at_once if deadline is None else min(parts.at_once or _AT_ONCE, _AT_ONCE)
    variants = parts.variants()
    found = []
    while batch := list(itertools.islice(variants, at_once)):
        if deadline is not None:
            deadline.check()
        found.append(model.scores(batch))
    return np.concatenate(found)


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(p / (1 - p)), with p kept a ten millionth away from 0 and 1.

    Args:
        probability: Probabilities of any shape.
    """
    kept = np.clip(probability, _SURE, 1 - _SURE)
    return np.asarray(np.log(kept) - np.log1p(-kept))
