"""What both kinds of DARE share: dropping changes at random and making up for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.dropping import bit_sum, chosen, stream_keys
from transfuse.merging.streamed import Ask, Piece, Survey, Weighted, blocks

__all__ = ["Dare"]


@dataclass(frozen=True)
class Dare(Weighted):
    """Drops changes at random; a subclass merges what is left."""

    needs_base: ClassVar[bool] = True
    least: ClassVar[int] = 1
    surveys: ClassVar[bool] = True

    density: float = 0.5
    """Chance of each change to be kept. Default: 0.5."""

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
        """See `Streamed.survey`; returns the key and the factor of each model."""
        ((name, _),) = sizes.items()
        spans = blocks(sizes)
        sums = yield Ask(spans, _bit_sums)
        totals = [sum(parts) for parts in zip(*sums, strict=True)]
        keys = stream_keys(self.seed, name, totals, self.given(len(totals)))
        if self.rescale == "density" or self.density == 1:
            return [(key, 1 / self.density) for key in keys]
        norms = yield Ask(spans, partial(self._norms, keys))
        return [
            (key, before / after if after > 0 else 1.0)
            for key, (before, after) in zip(keys, np.sum(norms, axis=0), strict=True)
        ]

    def thinned(self, piece: Piece, found: Sequence[tuple[int, float]]) -> Sequence[Floats]:
        """The changes that are kept, made up for; 0 elsewhere.

        Args:
            piece: The run, which is used up.
            found: What the survey returned.
        """
        deltas = piece.deltas()
        for delta, (key, factor) in zip(deltas, found, strict=True):
            self._drop(piece, delta, key)
            if factor != 1:
                np.multiply(delta, np.float32(factor), out=delta)
        return deltas

    def _drop(self, piece: Piece, delta: Floats, key: int) -> None:
        kept = chosen(key, piece.span.start, len(delta), self.density, piece.desk)
        np.multiply(delta, kept, out=delta)

    def _norms(self, keys: Sequence[int], piece: Piece) -> NDArray[np.float64]:
        found = []
        for delta, key in zip(piece.deltas(), keys, strict=True):
            np.abs(delta, out=delta)
            before = np.add.reduce(delta, dtype=np.float64)
            self._drop(piece, delta, key)
            found.append((before, np.add.reduce(delta, dtype=np.float64)))
        return np.array(found)


def _bit_sums(piece: Piece) -> list[int]:
    return [bit_sum(weights) for weights in piece.models]
