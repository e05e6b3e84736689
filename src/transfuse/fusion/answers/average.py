"""The mean of the members' answers."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, WeightedMean
from transfuse.errors import ModelError, Problem
from transfuse.fusion.answers.base import AnswerFusion, Gathered

__all__ = ["Average"]


@dataclass(frozen=True)
class Average(AnswerFusion):
    """The weighted mean of the members' calibrated probabilities, with weights that are given.

    Equal weights need no row to choose by, and are hard to beat where members are about as good
    (Lakshminarayanan et al., 2017, arXiv:1612.01474).
    """

    weights: tuple[float, ...] | None = None
    """What each model counts, in their order; divided by their sum. Default: all the same."""

    needs_rows: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.weights is not None:
            given = np.array(self.weights)
            if not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
                raise ValueError("weights are numbers of at least 0, and not all 0")

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        members = len(gathered.names)
        given = self.weights or (1.0,) * members
        if len(given) != members:
            raise ModelError(
                Problem("average.weights", f"{len(given)} weights", f"one for each of {members}")
            )
        return WeightedMean(np.array(given) / sum(given)), {"fitted_on": "nothing"}
