"""How numbers are spread, such as the lengths of texts: mean, quantiles, histogram."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Spread"]

_QUANTILES = (0, 5, 25, 50, 75, 95, 99, 100)
_BINS = 24


@dataclass(frozen=True)
class Spread:
    """The spread of some numbers.

    Args:
        mean: The mean.
        quantiles: Percent ("0", "5", "25", "50", "75", "95", "99", "100") to value.
        edges: Edges of the histogram's bins, rising.
        counts: Numbers in each bin, one fewer than edges; the last bin also counts what is larger.
    """

    mean: float
    quantiles: Mapping[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "Spread":
        """Describes numbers.

        Args:
            values: The numbers, [n], n at least 1; bins of integers have whole widths.

        Returns:
            Their spread, in about 24 bins up to the 99th percentile.

        Raises:
            ValueError: If there are none.
        """
        numbers = np.asarray(values)
        if not numbers.size:
            raise ValueError("no numbers to describe")
        quantiles = np.percentile(numbers, _QUANTILES).tolist()
        # One text of a megabyte must not squeeze all others into the first bin.
        edges = _edges(quantiles[0], quantiles[-2], bool(np.issubdtype(numbers.dtype, np.integer)))
        counts, _ = np.histogram(np.minimum(numbers, (edges[-2] + edges[-1]) / 2), edges)
        return cls(
            mean=float(numbers.mean()),
            quantiles={str(q): value for q, value in zip(_QUANTILES, quantiles, strict=True)},
            edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Spread":
        """The spread whose fields are given as plain data."""
        edges, counts = tuple(data["edges"]), tuple(data["counts"])
        return cls(data["mean"], dict(data["quantiles"]), edges, counts)


def _edges(low: float, high: float, whole: bool) -> npt.NDArray[np.float64]:
    if not whole:
        return np.linspace(low, high if high > low else low + 1, _BINS + 1)
    # An integer stands for itself and the room up to the next.
    width = int(np.ceil((high - low + 1) / _BINS))
    bins = int(np.ceil((high - low + 1) / width))
    return low + width * np.arange(bins + 1, dtype=np.float64)
