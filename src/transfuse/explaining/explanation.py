"""An explanation: the parts of a text or a picture, each with what it adds to a label's score."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Explanation", "PatchWeight", "TokenWeight", "Units", "relative_gap"]


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
class PatchWeight:
    """A rectangle of a picture, and what it does to the score.

    Args:
        row: Its row in the grid, from 1 at the top.
        column: Its column, from 1 at the left.
        box: Left, top, right and bottom in pixels of the upright picture, from 0; right and bottom
            are the first pixels beyond it.
        weight: What it adds to the score; below 0, it speaks against the label.
    """

    row: int
    column: int
    box: tuple[int, int, int, int]
    weight: float


Units = tuple[TokenWeight | PatchWeight, ...]
"""The parts of what is explained: the words of a text, or the patches of a picture."""


@dataclass(frozen=True)
class Explanation:
    """What drove a model's answer to one text or picture.

    Args:
        label: The label that is explained; `value` for a number.
        method: How the weights were found.
        score: The label's log-odds ln(p / (1 - p)); a predicted number as it is.
        baseline: The same for the text without its words, or the picture without its patches.
        units: The words in their order, or the patches row by row.
        gap: How far the sum of the weights is from `score - baseline`, relative to that difference
            or to the largest weight, whichever is larger. For integrated gradients it is the error
            of the sum that stands for the integral. For occlusion it is what parts do together:
            0 where each acts alone, as in a linear model.
        text: The text as it was given; None for a picture.
        size: Width and height of the upright picture in pixels; None for a text.
        probability: The label's calibrated probability; None for a number.
        steps: Points of the integral; 0 for occlusion.
        note: What to keep in mind, such as an integral that did not close. Default: nothing.
    """

    label: str
    method: str
    score: float
    baseline: float
    units: Units
    gap: float
    text: str | None = None
    size: tuple[int, int] | None = None
    probability: float | None = None
    steps: int = 0
    note: str = ""

    @property
    def tokens(self) -> tuple[TokenWeight, ...]:
        """The words of a text in their order; none of a picture."""
        return tuple(unit for unit in self.units if isinstance(unit, TokenWeight))

    @property
    def patches(self) -> tuple[PatchWeight, ...]:
        """The patches of a picture row by row; none of a text."""
        return tuple(unit for unit in self.units if isinstance(unit, PatchWeight))

    def strongest(self, most: int) -> Units:
        """The parts of the largest weights, whatever their sign, from the largest.

        Args:
            most: How many at the most.
        """
        return tuple(sorted(self.units, key=lambda unit: -abs(unit.weight))[:most])

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it: `text` and `tokens`, or `size` and `patches`."""
        told = asdict(self)
        units = list(told.pop("units"))
        absent = "size" if self.size is None else "text"
        del told[absent]
        return {**told, "tokens" if self.size is None else "patches": units}


def relative_gap(weights: list[float], difference: float) -> float:
    """How far a sum of weights is from what it should be; see `Explanation.gap`.

    Args:
        weights: The weights.
        difference: What they should sum to.
    """
    scale = max([abs(difference), *map(abs, weights)])
    return abs(sum(weights) - difference) / scale if scale else 0.0
