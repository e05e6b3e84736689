"""The base and a share of what each model has learnt since."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.linear import sum_of
from transfuse.merging.streamed import Piece, Weighted

__all__ = ["TaskArithmetic"]


@dataclass(frozen=True)
class TaskArithmetic(Weighted):
    """The base plus the scaled sum of what the models differ by from it.

    Ilharco et al. (2023), 'Editing models with task arithmetic' (arXiv:2212.04089). A negative
    weight makes the model forget.
    """

    needs_base: ClassVar[bool] = True
    least: ClassVar[int] = 1

    scale: float = 0.4
    """λ: what the sum is multiplied by; better chosen on validation rows. Default: 0.4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.scale):
            raise ValueError("scale is a finite number")

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        assert piece.base is not None
        factors = [self.scale * weight for weight in self.given(len(piece.models))]
        sum_of(piece.deltas(), factors, out)
        np.add(out, piece.base, out=out)
