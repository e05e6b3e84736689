"""From one model to another along the arc between them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.linear import sum_of
from transfuse.merging.products import gramian, summed
from transfuse.merging.streamed import Ask, Piece, Streamed, Survey, blocks

__all__ = ["Slerp"]

_STRAIGHT = 1e-9
_STRAIGHT_IN_MERGEKIT = 5e-4


@dataclass(frozen=True)
class Slerp(Streamed):
    """Spherical interpolation of two models, tensor by tensor.

    Shoemake (1985), 'Animating rotation with quaternion curves'. Where two tensors point the same
    way, or opposite ways (there is no one arc then), or one is 0, it goes straight.
    """

    least: ClassVar[int] = 2
    most: ClassVar[int | None] = 2
    surveys: ClassVar[bool] = True
    symmetric: ClassVar[bool] = False

    t: float = 0.5
    """How far from the first model to the second, from 0 to 1. Default: 0.5."""

    compat: Literal["mergekit"] | None = None
    """`mergekit` goes straight from a cosine of 0.9995 on, as tuned models mostly have; ours only
    where float64 cannot tell arc and line apart. Default: ours."""

    def __post_init__(self) -> None:
        if not 0 <= self.t <= 1:
            raise ValueError("t lies in [0, 1]")

    def survey(self, sizes: Mapping[str, int]) -> Survey:
        """See `Streamed.survey`; returns the factors of both, or None to go straight."""
        parts = yield Ask(blocks(sizes), lambda piece: gramian(piece.models))
        products = summed(parts)
        norms = math.sqrt(products[0, 0] * products[1, 1])
        cosine = products[0, 1] / norms if norms > 0 else 1.0
        near = _STRAIGHT if self.compat is None else _STRAIGHT_IN_MERGEKIT
        if not abs(cosine) < 1 - near:
            return None
        angle = math.acos(cosine)
        return (
            math.sin((1 - self.t) * angle) / math.sin(angle),
            math.sin(self.t * angle) / math.sin(angle),
        )

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        first, second = piece.models
        if found is None:
            np.subtract(second, first, out=second)
            found = (1.0, self.t)
        sum_of(piece.models, found, out)
