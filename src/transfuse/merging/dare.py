"""What both kinds of DARE share: dropping changes at random and making up for it."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.dropping import bit_sums, chosen, kept_share, stream_keys
from transfuse.merging.products import row_sums
from transfuse.merging.streamed import Ask, Piece, Span, Survey, Weighted, blocks

__all__ = ["Dare", "Dropped"]

_LOOKED_AT = 1024
"""Weights of each of the few runs that tell the models' tensors apart."""


class Dropped(NamedTuple):
    """How the changes of one tensor are dropped and made up for.

    Args:
        keys: The key of each model's random stream.
        factors: What the kept changes of each model are multiplied by.
    """

    keys: Sequence[int]
    factors: Sequence[float]


@dataclass(frozen=True)
class Dare(Weighted):
    """Drops changes at random; a subclass merges what is left."""

    needs_base: ClassVar[bool] = True
    least: ClassVar[int] = 1
    surveys: ClassVar[bool] = True

    density: float = 0.5
    """Chance of each change to be kept, rounded to a 65,536th. Default: 0.5."""

    rescale: Literal["density", "l1"] = "density"
    """How the kept changes make up for the dropped ones: divided by `density`, as in the paper, or
    grown to the sum of sizes that each tensor's changes had, as mergekit does. Default: density."""

    seed: int = 0
    """Seed of the dropping. Default: 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.density <= 1:
            raise ValueError("density lies in (0, 1]")

    def survey(self, sizes: Mapping[str, int]) -> Survey:
        """See `Streamed.survey`; returns what is `Dropped`."""
        ((name, size),) = sizes.items()
        totals = yield from _told_apart(_few(name, size))
        if len(set(totals)) < len(totals):
            totals = yield from _told_apart(blocks(sizes))
        keys = stream_keys(self.seed, name, totals, self.given(len(totals)))
        share = kept_share(self.density)
        if self.rescale == "density" or share == 1:
            return Dropped(keys, [1 / share] * len(keys))
        norms = yield Ask(blocks(sizes), partial(self._norms, keys))
        return Dropped(keys, [b / a if a > 0 else 1.0 for b, a in np.sum(norms, axis=0).T])

    def thinned(self, piece: Piece, found: Dropped) -> Floats:
        """The changes that are kept, not yet made up for; 0 elsewhere.

        Args:
            piece: The run, which is used up.
            found: What the survey returned.

        Returns:
            [models, n].
        """
        return self._drop(piece, piece.deltas(), found.keys)

    def _drop(self, piece: Piece, deltas: Floats, keys: Sequence[int]) -> Floats:
        kept = chosen(keys, piece.span.start, deltas.shape[1], self.density, piece.desk)
        return np.multiply(deltas, kept, out=deltas)

    def _norms(self, keys: Sequence[int], piece: Piece) -> NDArray[np.float64]:
        deltas = piece.deltas()
        before = row_sums(np.abs(deltas, out=deltas))
        return np.stack([before, row_sums(self._drop(piece, deltas, keys))])


def _told_apart(spans: Sequence[Span]) -> Generator[Ask, list[Any], list[int]]:
    sums = yield Ask(spans, lambda piece: bit_sums(piece.models))
    return [sum(parts) for parts in zip(*sums, strict=True)]


def _few(name: str, size: int) -> list[Span]:
    """The first, the middle and the last weights: mostly enough to tell models apart."""
    if size <= 3 * _LOOKED_AT:
        return [Span(name, 0, size)]
    starts = (0, (size - _LOOKED_AT) // 2, size - _LOOKED_AT)
    return [Span(name, start, start + _LOOKED_AT) for start in starts]
