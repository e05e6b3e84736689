"""When to say 'I don't know': how the risk falls as fewer rows are answered, and a safe threshold.

A row is answered if its confidence reaches the threshold. Coverage is the share of rows that are
answered, risk the share of wrong ones among them.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import Array

__all__ = ["Abstention", "RiskCoverage", "fit_abstention", "risk_coverage", "upper_bound"]


@dataclass(frozen=True)
class RiskCoverage:
    """The risk among the answered rows at every threshold.

    Args:
        threshold: Confidences from the highest to the lowest, each once, [k].
        coverage: Share of rows with at least this confidence, [k].
        risk: Share of wrong ones among these, [k].
        area: Mean risk over all coverages; 0 is perfect, and the error rate what chance gives.
        excess: `area` less that of the best order of the same rows; 0 where every wrong row is
            less sure than every right one.
    """

    threshold: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float64]
    risk: npt.NDArray[np.float64]
    area: float
    excess: float


def risk_coverage(confidence: npt.ArrayLike, wrong: npt.ArrayLike) -> RiskCoverage:
    """The risk-coverage curve and its area (Geifman et al., 2019, arXiv:1805.08206).

    Rows of one confidence are answered together or not at all.

    Args:
        confidence: How sure the model is of each row, [n].
        wrong: Whether it is wrong, [n].

    Raises:
        DataError: If there are no rows, or the arrays differ in length.
    """
    sure, errors = _checked(confidence, wrong)
    order = np.argsort(-sure, kind="stable")
    sure, errors = sure[order], errors[order]
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
    counts = last + 1
    risk = np.cumsum(errors)[last] / counts
    rows = len(sure)
    area = float(np.sum(risk * np.diff(counts, prepend=0)) / rows)
    total = int(errors.sum())
    ranks = np.arange(1, rows + 1)
    best = float(np.mean(np.maximum(0, ranks - (rows - total)) / ranks))
    return RiskCoverage(sure[last], counts / rows, risk, area, area - best)


@dataclass(frozen=True)
class Abstention:
    """A threshold on confidence with a bound on the risk of what is answered.

    Args:
        threshold: The least confidence with which a row is answered.
        risk: The risk that was asked for.
        bound: What the true risk stays below with this certainty.
        certainty: The chance, over draws of the held-out rows, that the bound holds.
        coverage: Share of the held-out rows that are answered.
        measured: Risk among them.
    """

    threshold: float
    risk: float
    bound: float
    certainty: float
    coverage: float
    measured: float


def fit_abstention(
    confidence: npt.ArrayLike,
    wrong: npt.ArrayLike,
    risk: float,
    *,
    certainty: float = 0.95,
) -> Abstention:
    """Choose the lowest threshold whose risk is bounded (Geifman and El-Yaniv, 2017, 1705.08500).

    A binary search over the held-out confidences; each of its steps is tested by the exact
    binomial bound, with the doubt split over the steps.

    Args:
        confidence: How sure the model is of held-out rows, [n].
        wrong: Whether it is wrong, [n].
        risk: The share of wrong answers that is tolerated, above 0 and below 1.
        certainty: How certain the bound must be. Default: 0.95.

    Returns:
        The threshold.

    Raises:
        DataError: If no threshold of the search can be promised, with the least risk that could.
        ValueError: If `risk` or `certainty` is not between 0 and 1.
    """
    for name, value in (("risk", risk), ("certainty", certainty)):
        if not 0 < value < 1:
            raise ValueError(f"{name} lies between 0 and 1, got {value}")
    sure, errors = _checked(confidence, wrong)
    curve = risk_coverage(sure, errors)
    counts = np.rint(curve.coverage * len(sure)).astype(np.int64)
    failed = np.rint(curve.risk * counts).astype(np.int64)
    # All rows are tried first, then the rest is halved: this many tests, whatever they find. Where
    # the true risk falls with confidence, the tests that could promise too much are always the
    # same ones, so that to share the doubt among them is enough.
    steps = 1 + math.ceil(math.log2(len(counts)))
    doubt = (1 - certainty) / steps
    low, high = 0, len(counts)
    place = len(counts) - 1
    best: int | None = None
    bounds: dict[int, float] = {}
    for _ in range(steps):
        bounds[place] = upper_bound(int(failed[place]), int(counts[place]), doubt)
        if bounds[place] <= risk:
            best, low = place, place + 1
        else:
            high = place
        if low >= high:
            break
        place = (low + high) // 2
    if best is None:
        what = f"a risk of {risk:.3g} cannot be promised on {len(sure)} rows"
        expected = f"at least {min(bounds.values()):.3g}, the lowest bound that was found"
        raise DataError(
            Problem("risk", what, expected, "Allow more risk, or calibrate on more rows.")
        )
    return Abstention(
        threshold=float(curve.threshold[best]),
        risk=risk,
        bound=bounds[best],
        certainty=certainty,
        coverage=float(curve.coverage[best]),
        measured=float(curve.risk[best]),
    )


def upper_bound(wrong: int, rows: int, doubt: float) -> float:
    """The exact upper bound of a share (Clopper and Pearson, 1934).

    Args:
        wrong: How many rows were wrong.
        rows: Of how many.
        doubt: The chance that the true share lies above the bound.
    """
    # Imported here: it takes a tenth of a second that no other measure needs.
    from scipy.special import betaincinv

    return 1.0 if wrong >= rows else float(betaincinv(wrong + 1, rows - wrong, 1 - doubt))


def _checked(confidence: npt.ArrayLike, wrong: npt.ArrayLike) -> tuple[Array, Array]:
    sure = np.asarray(confidence, dtype=np.float64)
    errors = np.asarray(wrong, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != errors.shape or not len(sure):
        what = f"shapes {sure.shape} and {errors.shape}"
        raise DataError(Problem("confidence", what, "two arrays [n] with n at least 1"))
    if not np.isfinite(sure).all():
        raise DataError(Problem("confidence", "values that are not finite", "numbers"))
    return sure, errors
