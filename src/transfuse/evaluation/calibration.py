"""Whether a probability means what it says: reliability, calibration error, temperature.

Confidence is the probability of the predicted class throughout ("top label").
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transfuse.evaluation.inputs import Array, checked

__all__ = [
    "CLIP",
    "Reliability",
    "apply_temperature",
    "bin_numbers",
    "expected_calibration_error",
    "fit_temperature",
    "reliability",
    "top_label",
]

CLIP = float(np.finfo(np.float64).eps)
"""The least probability that a logarithm is taken of, 2.2e-16: a surprise of 36 nats at most."""

_LOWEST, _HIGHEST = 0.05, 20.0


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in bins of equal width over 0…1.

    Args:
        confidence: Mean confidence of the rows of each bin, float64 [bins]; NaN in an empty bin.
        accuracy: Share of those rows that are right, float64 [bins]; NaN in an empty bin.
        share: Share of all rows that fall in the bin, float64 [bins]; sums to 1.
    """

    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap, weighed by share."""
        return float(np.nansum(self.share * np.abs(self.confidence - self.accuracy)))


def top_label(probabilities: Array, labels: Array) -> tuple[Array, Array]:
    """Confidence and correctness (0 or 1) of each row, float64 [n] each."""
    correct = probabilities.argmax(axis=1) == labels
    confidence: Array = probabilities.max(axis=1)
    return confidence, correct.astype(np.float64)


def bin_numbers(confidence: Array, bins: int) -> npt.NDArray[np.int64]:
    """The bin of each confidence: bin b holds (b / bins, (b + 1) / bins], the first one 0 too."""
    edges = np.arange(1, bins) / bins
    numbers: npt.NDArray[np.int64] = np.searchsorted(edges, confidence, side="left")
    return numbers


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15) -> Reliability:
    """The reliability curve of predictions (several seeds are pooled by concatenating them).

    Args:
        probabilities: [n, C].
        labels: Class numbers [n].
        bins: Number of bins. Default: 15, as in Guo et al. (2017, arXiv:1706.04599).

    Raises:
        DataError: If the arrays are not probabilities and labels.
        ValueError: If there is no bin.
    """
    if bins < 1:
        raise ValueError(f"expected at least 1 bin, got {bins}")
    confidence, correct = top_label(*checked("classification", probabilities, labels))
    number = bin_numbers(confidence, bins)
    count = np.bincount(number, minlength=bins).astype(np.float64)

    def mean(values: Array) -> Array:
        means = np.full(bins, np.nan)
        total = np.bincount(number, weights=values, minlength=bins)
        np.divide(total, count, out=means, where=count > 0)
        return means

    return Reliability(mean(confidence), mean(correct), count / len(confidence))


def expected_calibration_error(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = 15
) -> float:
    """The mean gap between confidence and accuracy (Naeini et al., 2015; Guo et al., 2017).

    It is biased upwards in small samples: perfectly calibrated predictions do not read 0.

    Args:
        probabilities: [n, C].
        labels: Class numbers [n].
        bins: Number of bins of equal width. Default: 15.

    Raises:
        DataError: If the arrays are not probabilities and labels.
    """
    return reliability(probabilities, labels, bins).error


def fit_temperature(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature that makes held-out labels most likely (Guo et al., 2017, arXiv:1706.04599).

    Logits are not needed: the softmax of log-probabilities divided by T is that of the logits
    divided by T. Above 1, the model was too sure of itself.

    Args:
        probabilities: Of validation rows, [n, C]; never of the rows that are reported on.
        labels: Class numbers [n].

    Returns:
        T between 0.05 and 20; never one that makes the log loss of these rows worse. Exactly 1
        where the rows cannot tell: if every row is right, any smaller T looks better without end.

    Raises:
        DataError: If the arrays are not probabilities and labels.
    """
    # Imported here: it takes a tenth of a second that no other metric needs.
    from scipy.optimize import minimize_scalar

    given, true = checked("classification", probabilities, labels)
    rows = np.arange(len(true))
    if np.all(given[rows, true] >= given.max(axis=1)):
        return 1.0
    scores = np.log(np.clip(given, CLIP, 1.0))
    scores -= scores.max(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        scaled = scores * np.exp(-log_temperature)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, true]))

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = float(minimize_scalar(loss, bounds=bounds, method="bounded").x)
    best = min((found, *bounds, 0.0), key=loss)
    return float(np.exp(best))


def apply_temperature(probabilities: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities at another temperature; the order of the classes of a row stays.

    Args:
        probabilities: [n, C].
        temperature: T; 1 changes nothing, more flattens, less sharpens.

    Returns:
        [n, C], each row summing to 1.

    Raises:
        ValueError: If the temperature is not a positive finite number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"expected a positive finite temperature, got {temperature}")
    scores = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), CLIP, 1.0))
    scores -= scores.max(axis=1, keepdims=True)
    scaled = np.exp(scores / temperature)
    result: npt.NDArray[np.float64] = scaled / scaled.sum(axis=1, keepdims=True)
    return result
