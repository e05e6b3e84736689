"""DARE before TIES' election."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.dare import Dare
from transfuse.merging.signs import MOST, Compat, elected_mean
from transfuse.merging.streamed import Piece

__all__ = ["DareTies"]


@dataclass(frozen=True)
class DareTies(Dare):
    """TIES' election on changes of which a random part is dropped, and the rest made up for.

    Yu et al. (2024), 'Language models are super Mario: absorbing abilities from homologous models
    as a free lunch' (arXiv:2311.03099); the election is that of `ties`.
    """

    most: ClassVar[int | None] = MOST

    scale: float = 1.0
    """λ: what the merged change is multiplied by. Default: 1."""

    compat: Compat | None = None
    """Whose election, as for `ties`. Default: ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.scale):
            raise ValueError("scale is a finite number")
        if any(weight < 0 for weight in self.weights) or (self.weights and not any(self.weights)):
            raise ValueError("weights are at least 0, and not all 0")

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        assert piece.base is not None
        deltas, scale = self.thinned(piece, found), self.scale
        if len(set(found.factors)) == 1:
            # The election of so many times the changes is so many times the election.
            scale *= found.factors[0]
        else:
            np.multiply(deltas, np.array(found.factors, np.float32)[:, None], out=deltas)
        elected_mean(deltas, self.given(len(deltas)), out, piece.desk, self.compat)
        if scale != 1:
            np.multiply(out, np.float32(scale), out=out)
        np.add(out, piece.base, out=out)
