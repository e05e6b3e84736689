"""Trim, elect signs, and merge what agrees."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.signs import MOST, Compat, elected_mean
from transfuse.merging.streamed import Piece, Survey, Weighted
from transfuse.merging.thresholds import thresholds

__all__ = ["Ties"]


@dataclass(frozen=True)
class Ties(Weighted):
    """Keep each model's largest changes, elect a sign for each weight, average what agrees.

    Yadav et al. (2023), 'TIES-merging: resolving interference when merging models'
    (arXiv:2306.01708). Changes as large as the smallest one that is kept are kept as well.
    """

    needs_base: ClassVar[bool] = True
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = MOST
    surveys: ClassVar[bool] = True

    density: float = 0.2
    """Share of each model's changes that is kept, the largest. Default: 0.2."""

    scale: float = 1.0
    """λ: what the merged change is multiplied by. Default: 1."""

    trim: Literal["tensor", "model"] = "tensor"
    """Where the share is counted: in each tensor by itself, or over the whole model as in the
    paper's code, which takes more passes. Default: tensor."""

    compat: Compat | None = None
    """Whose election: `mergekit` elects plus where the sum is 0, where ours changes nothing; `peft`
    does too, elects without the weights and divides by the number of models that agree instead of
    by their weights. Default: ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.density <= 1:
            raise ValueError("density lies in (0, 1]")
        if not math.isfinite(self.scale):
            raise ValueError("scale is a finite number")
        if any(weight < 0 for weight in self.weights) or (self.weights and not any(self.weights)):
            raise ValueError("weights are at least 0, and not all 0")

    @property
    def together(self) -> bool:
        """See `Streamed.together`."""
        return self.trim == "model"

    def survey(self, sizes: Mapping[str, int]) -> Survey:
        """See `Streamed.survey`; returns the threshold of each model."""
        if self.density == 1:
            return None
        return (yield from thresholds(sizes, self.density))

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        assert piece.base is not None
        deltas = piece.deltas()
        if found is not None:
            least = np.array(found, np.float32)[:, None]
            kept = piece.desk.flags("kept", *deltas.shape)
            below = piece.desk.flags("below", *deltas.shape)
            np.greater_equal(deltas, least, out=kept)
            np.less_equal(deltas, -least, out=below)
            np.logical_or(kept, below, out=kept)
            np.multiply(deltas, kept, out=deltas)
        elected_mean(deltas, self.given(len(deltas)), out, piece.desk, self.compat)
        if self.scale != 1:
            np.multiply(out, np.float32(self.scale), out=out)
        np.add(out, piece.base, out=out)
