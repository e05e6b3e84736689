"""How far from the base to the mean of models, told by the angle between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.linear import sum_of
from transfuse.merging.products import gramian, summed
from transfuse.merging.streamed import Ask, Piece, Streamed, Survey, blocks

__all__ = ["ModelStock"]

_SINGULAR = 1e-6


@dataclass(frozen=True)
class ModelStock(Streamed):
    """The mean of a few models, pulled towards the base by as much as they disagree.

    For each tensor t = N cos / (1 + (N - 1) cos), where cos is the mean cosine between two models'
    changes; the merged tensor is t times the mean plus 1 - t times the base. Jang, Yun and Han
    (2024), 'Model Stock: all we need is just a few fine-tuned models' (arXiv:2403.19522).
    """

    needs_base: ClassVar[bool] = True
    least: ClassVar[int] = 2
    surveys: ClassVar[bool] = True

    compat: Literal["mergekit"] | None = None
    """`mergekit` goes beyond the base where changes point away from each other; ours stays at it.
    Default: ours."""

    def survey(self, sizes: Mapping[str, int]) -> Survey:
        """See `Streamed.survey`; returns t."""
        parts = yield Ask(blocks(sizes), lambda piece: gramian(piece.deltas()))
        products = summed(parts)
        count = len(products)
        norms = np.sqrt(np.diagonal(products))
        scales = np.maximum(np.outer(norms, norms), np.finfo(np.float64).tiny)
        cosines = np.clip(products / scales, -1, 1)[np.triu_indices(count, 1)]
        cosine = float(cosines.mean())
        if self.compat is None:
            cosine = max(cosine, 0.0)
        divisor = 1 + (count - 1) * cosine
        return count * cosine / divisor if abs(divisor) >= _SINGULAR else 0.0

    def mix(self, piece: Piece, found: Any, out: Floats) -> None:
        """See `Streamed.mix`."""
        assert piece.base is not None
        deltas = piece.deltas()
        sum_of(deltas, [found / len(deltas)] * len(deltas), out)
        np.add(out, piece.base, out=out)
