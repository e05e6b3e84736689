"""Sets of answers that hold the true one as often as promised: split conformal prediction.

Nothing is assumed of the model, only that the rows it is fitted on and the rows it is used on come
from one source (Angelopoulos and Bates, 2021, arXiv:2107.07511). The promise is on the average
over rows: with n rows and no ties, the coverage lies between 1 - alpha and 1 - alpha + 1 / (n + 1).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import Array, checked

__all__ = [
    "SET_METHODS",
    "Conformal",
    "ConformalInterval",
    "SetMethod",
    "fit_conformal",
    "fit_interval",
]

SetMethod = Literal["lac", "aps", "raps"]

SET_METHODS: tuple[SetMethod, ...] = ("lac", "aps", "raps")
"""The ways to make sets."""


@dataclass(frozen=True)
class Conformal:
    """A fitted rule from probabilities to sets of classes.

    Raises:
        ValueError: If `alpha` is not between 0 and 1 or the method is unknown.
    """

    thresholds: npt.NDArray[np.float64]
    """The largest score with which a class is in the set, [C]; inf: always."""

    alpha: float
    """The share of rows whose set may miss the true class."""

    method: SetMethod = "lac"
    """How strange a class is for a row; see `fit_conformal`. Default: lac."""

    penalty: float = 0.01
    """What `raps` adds for each class beyond the free ones. Default: 0.01."""

    free: int = 2
    """Classes that `raps` does not punish. Default: 2."""

    empty: bool = False
    """Whether a set may be empty. Default: no, the most probable class is always in it, which can
    only raise the coverage."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha lies between 0 and 1, got {self.alpha}")
        if self.method not in SET_METHODS:
            raise ValueError(f"the method is one of {', '.join(SET_METHODS)}, got {self.method!r}")
        if self.penalty < 0 or self.free < 0:
            raise ValueError("penalty and free are at least 0")

    def sets(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """The classes that are in the set of each row.

        Args:
            scores: Probabilities [n, C], of the model that the rule was fitted for.

        Returns:
            Whether each class is in, [n, C].

        Raises:
            DataError: If they are not probabilities of these classes.
        """
        given = np.asarray(scores, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.thresholds):
            expected = f"[n, {len(self.thresholds)}]"
            raise DataError(Problem("scores", f"shape {given.shape}", expected))
        found = _strangeness(given, self.method, self.penalty, self.free)
        inside: npt.NDArray[np.bool_] = found <= self.thresholds
        if not self.empty and len(given):
            inside[np.arange(len(given)), given.argmax(axis=1)] = True
        return inside


def _strangeness(given: Array, method: SetMethod, penalty: float, free: int) -> Array:
    """How little each class suits each row, float64 [n, C]."""
    if method == "lac":
        return np.asarray(1.0 - given)
    order = np.argsort(-given, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(given, order, axis=1), axis=1)
    if method == "raps":
        rank = np.arange(1, given.shape[1] + 1)
        mass = mass + penalty * np.maximum(0, rank - free)
    found = np.empty_like(mass)
    # Sums of one that differ by rounding alone must compare as equal.
    np.put_along_axis(found, order, np.round(mass, 12), axis=1)
    return found


def fit_conformal(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    alpha: float = 0.1,
    method: SetMethod = "lac",
    *,
    by_class: bool = False,
    penalty: float = 0.01,
    free: int = 2,
    empty: bool = False,
) -> Conformal:
    """Fit prediction sets on held-out rows.

    Args:
        scores: Probabilities of rows that the model has not learnt from, [n, C].
        targets: Class numbers [n].
        alpha: The share of rows whose set may miss the true class. Default: 0.1, coverage 0.9.
        method: `lac`, 1 - p of the class (Sadinle et al., 2019, arXiv:1609.00451): the smallest
            sets on average; `aps`, the mass of the class and all more probable ones (Romano et
            al., 2020, arXiv:2006.02544): larger sets where a row is hard; `raps`, with a penalty
            on long sets (Angelopoulos et al., 2021, arXiv:2009.14193). Both draw no random
            numbers, so that with two or three classes they cover more than asked. Default: lac.
        by_class: Whether the promise holds for the rows of each class on their own, which needs
            1 / alpha rows of each; a class with fewer is in every set. Default: no.
        penalty: What `raps` adds for each class beyond the free ones. Default: 0.01.
        free: Classes that it does not punish. Default: 2.
        empty: Whether a set may be empty. Default: no.

    Returns:
        The rule. With fewer than 1 / alpha - 1 rows nothing can be promised but by all classes.

    Raises:
        DataError: If the arrays are not probabilities and labels.
        ValueError: If an option is out of its range.
    """
    given, true = checked("classification", scores, targets)
    rule = Conformal(np.empty(given.shape[1]), alpha, method, penalty, free, empty)
    of_true = _strangeness(given, method, penalty, free)[np.arange(len(true)), true]
    classes = np.arange(given.shape[1])
    if by_class:
        limits = np.array([_limit(of_true[true == each], alpha) for each in classes])
    else:
        limits = np.full(len(classes), _limit(of_true, alpha))
    return Conformal(limits, alpha, method, rule.penalty, rule.free, empty)


@dataclass(frozen=True)
class ConformalInterval:
    """A fitted rule from predicted numbers to intervals."""

    radius: float
    """Half the width of each interval; inf where the rows were too few to promise anything."""

    alpha: float
    """The share of rows whose interval may miss the true value."""

    def bounds(self, predictions: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The ends of the interval of each prediction.

        Args:
            predictions: Numbers [n] or [n, 1].

        Returns:
            Lower and upper ends, [n, 2].
        """
        middle = np.asarray(predictions, dtype=np.float64).reshape(-1)
        return np.stack([middle - self.radius, middle + self.radius], axis=1)


def fit_interval(
    predictions: npt.ArrayLike, targets: npt.ArrayLike, alpha: float = 0.1
) -> ConformalInterval:
    """Fit intervals for predicted numbers by the absolute errors on held-out rows.

    Args:
        predictions: Numbers [n] or [n, 1] for rows that the model has not learnt from.
        targets: The true numbers [n].
        alpha: The share of rows whose interval may miss the true value. Default: 0.1.

    Returns:
        The rule; all intervals have the same width.

    Raises:
        DataError: If the arrays are not numbers of one length.
        ValueError: If `alpha` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, got {alpha}")
    given, true = checked("regression", predictions, targets)
    return ConformalInterval(_limit(np.abs(given - true), alpha), alpha)


def _limit(found: Array, alpha: float) -> float:
    """The smallest score that, with n + 1 exchangeable rows, covers a share 1 - alpha."""
    # The subtraction keeps a product such as 10 * 0.9, which may be a hair above 9, at 9.
    rank = int(np.ceil((len(found) + 1) * (1 - alpha) - 1e-9))
    return float(np.sort(found)[rank - 1]) if rank <= len(found) else np.inf
