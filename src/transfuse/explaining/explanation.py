"""An explanation: the words of a text, each with what it adds to the score of a label."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Explanation", "TokenWeight", "relative_gap"]


@dataclass(frozen=True)
class TokenWeight:
    """A word, or another run of characters, and what it does to the score.

    Args:
        text: The characters as they stand in the text.
        start: Where they begin there, in characters from 0.
        end: Where they end.
        weight: What they add to the score; below 0, they speak against the label.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """What drove a model's answer to one text.

    Args:
        text: The text as it was given.
        label: The label that is explained; `value` for a number.
        method: How the weights were found.
        score: The label's log-odds ln(p / (1 - p)) for the text; a predicted number as it is.
        baseline: The same for the text without its words.
        tokens: The words in their order.
        gap: How far the sum of the weights is from `score - baseline`, relative to that difference
            or to the largest weight, whichever is larger. For integrated gradients it is the error
            of the sum that stands for the integral. For occlusion it is what words do together:
            0 where each acts alone, as in a linear model.
        probability: The label's calibrated probability for the text; None for a number.
        steps: Points of the integral; 0 for occlusion.
        note: What to keep in mind, such as an integral that did not close. Default: nothing.
    """

    text: str
    label: str
    method: str
    score: float
    baseline: float
    tokens: tuple[TokenWeight, ...]
    gap: float
    probability: float | None = None
    steps: int = 0
    note: str = ""

    def strongest(self, most: int) -> tuple[TokenWeight, ...]:
        """The words of the largest weights, whatever their sign, from the largest.

        Args:
            most: How many at the most.
        """
        ranked = sorted(self.tokens, key=lambda token: (-abs(token.weight), token.start))
        return tuple(ranked[:most])

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {**asdict(self), "tokens": [asdict(token) for token in self.tokens]}


def relative_gap(weights: list[float], difference: float) -> float:
    """How far a sum of weights is from what it should be; see `Explanation.gap`.

    Args:
        weights: The weights.
        difference: What they should sum to.
    """
    scale = max([abs(difference), *map(abs, weights)])
    return abs(sum(weights) - difference) / scale if scale else 0.0
