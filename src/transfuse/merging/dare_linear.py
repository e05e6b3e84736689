"""DARE before task arithmetic."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.dare import Dare
from transfuse.merging.linear import sum_of
from transfuse.merging.streamed import Piece

__all__ = ["DareLinear"]


@dataclass(frozen=True)
class DareLinear(Dare):
    """Task arithmetic on changes of which a random part is dropped, and the rest made up for.

    Yu et al. (2024), 'Language models are super Mario: absorbing abilities from homologous models
    as a free lunch' (arXiv:2311.03099). What is dropped depends on the seed and on what a tensor
    holds; neither on the order of the models nor on files and threads.
    """

    scale: float = 0.4
    """λ: what the sum is multiplied by; better chosen on validation rows. Default: 0.4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.scale):
            raise ValueError("scale is a finite number")

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        assert piece.base is not None
        weights = self.given(len(piece.models))
        factors = [self.scale * w * f for w, f in zip(weights, found.factors, strict=True)]
        sum_of(self.thinned(piece, found), factors, out)
        np.add(out, piece.base, out=out)
