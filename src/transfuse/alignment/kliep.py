"""Importance weights by the Kullback-Leibler importance estimation procedure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.alignment.base import Aligned, Alignment, Array, checked_pair, with_mean_one

__all__ = ["Kliep"]

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_FOLDS = 5
_TARGET_ROWS = 2000
"""Target rows used at the most."""

_STEPS = 1000
# Steps end when the likelihood is proven to be within this of the greatest, in nats a row.
_GAP = 1e-3


@dataclass(frozen=True)
class Kliep(Alignment):
    """Source rows are weighed so that they look like the target's in the sense of Kullback-Leibler.

    Sugiyama et al. (2008), 'Direct importance estimation with model selection and its application
    to covariate shift adaptation'. The weight is a sum of Gaussian kernels on some of the target's
    rows; features stay as they are.
    """

    centres: int = 100
    """Number of kernels, each on a target row that is drawn. Default: 100."""

    width: float | None = None
    """Width of the kernels, as a multiple of the median distance between target rows. Default: the
    one of a small grid with the greatest likelihood in 5-fold cross-validation."""

    flatten: float = 0.5
    """Exponent of the weights, 0 to 1: below 1 they are nearer to equal, which errs more and varies
    less (Shimodaira, 2000). Default: 0.5."""

    def __post_init__(self) -> None:
        if self.centres < 1:
            raise ValueError("centres is at least 1")
        if self.width is not None and not 0 < self.width < np.inf:
            raise ValueError("width is a number above 0")
        if not 0 <= self.flatten <= 1:
            raise ValueError("flatten lies in [0, 1]")

    def align(
        self, source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], seed: int
    ) -> Aligned:
        """See `Alignment.align`; the seed draws the centres and the folds."""
        a, b = checked_pair(source, target)
        rng = np.random.default_rng(seed)
        kept = b[rng.permutation(len(b))[:_TARGET_ROWS]]
        # The rows are in random order, so the first are as good as any.
        centres = kept[: self.centres]
        # Centred first: far from the origin the expanded square loses its digits.
        middle = centres.mean(axis=0)
        near = _squares(a - middle, centres - middle)
        own = _squares(kept - middle, centres - middle)
        unit = _median(own) or _median(near)
        if unit == 0.0:
            return Aligned(a.astype(np.float32), np.ones(len(a), dtype=np.float32))
        near, own = near / (2 * unit), own / (2 * unit)
        width = self.width or max(_WIDTHS, key=lambda width: _validated(near, own, width))
        mixture = _fit(_ratios(near, own, width)[0])
        logs = -near / width**2
        weights = np.exp(logs - _log_mean(logs)) @ mixture
        return Aligned(a.astype(np.float32), with_mean_one(weights**self.flatten))


def _squares(rows: Array, centres: Array) -> Array:
    norms = np.square(rows).sum(axis=1)[:, None] + np.square(centres).sum(axis=1)[None, :]
    found: Array = np.maximum(norms - 2 * rows @ centres.T, 0.0)
    return found


def _median(squares: Array) -> float:
    """The median of what is above rounding; a row's distance to itself does not count."""
    apart = squares[squares > 1e-12 * max(float(squares.max()), 1e-300)]
    return float(np.median(apart)) if len(apart) else 0.0


def _log_mean(logs: Array) -> Array:
    """The logarithm of each column's mean of exp(logs)."""
    top = logs.max(axis=0)
    found: Array = top + np.log(np.exp(logs - top).mean(axis=0))
    return found


def _ratios(near: Array, own: Array, width: float) -> tuple[Array, Array]:
    """Kernels at the target's rows, each divided by its mean over the source.

    A weight with mean 1 over the source is a mixture of these kernels, with shares that sum to 1.

    Returns:
        The ratios [m, k], each row divided by its greatest; and the logarithms of those [m].
    """
    logs = -own / width**2 - _log_mean(-near / width**2)
    top = logs.max(axis=1)
    return np.exp(logs - top[:, None]), top


def _fit(ratios: Array) -> Array:
    """The shares of the mixture with the greatest likelihood of the target's rows, [k].

    The problem is concave; each step of expectation maximisation raises the likelihood and keeps
    the shares on the simplex, so there is no step size to choose.
    """
    shares = np.full(ratios.shape[1], 1 / ratios.shape[1])
    for _ in range(_STEPS):
        slopes = (ratios / (ratios @ shares)[:, None]).mean(axis=0)
        # By concavity no mixture is better than this one by more.
        if slopes.max() - 1 < _GAP:
            break
        shares = shares * slopes
    return shares


def _validated(near: Array, own: Array, width: float) -> float:
    """The mean log-likelihood of target rows that neither shares nor centres have seen."""
    rows, count = own.shape
    folds = min(_FOLDS, rows)
    fold = np.arange(rows) % folds
    found = []
    for number in range(folds):
        # The first `count` rows are the centres themselves.
        open_ = fold[:count] != number
        if not open_.any():
            return -np.inf
        ratios, top = _ratios(near[:, open_], own[:, open_], width)
        shares = _fit(ratios[fold != number])
        held_out = fold == number
        likelihood = np.maximum(ratios[held_out] @ shares, np.finfo(np.float64).tiny)
        found.append((np.log(likelihood) + top[held_out]).mean())
    return float(np.mean(found))
