"""Row statistics whose sums decide a metric, and the metric from those sums.

A function `*_sums` gives K numbers for each row, float64 [n, K]. Its partners turn (weighted) sums
of rows, float64 [..., K], into the metric, float64 [...]. Because every metric has this form, one
matrix product gives it for thousands of bootstrap replicates.

Where a metric divides zero by zero its docstring says what it gives. None gives NaN.
"""

import numpy as np

from transfuse.evaluation.calibration import CLIP, bin_numbers, top_label
from transfuse.evaluation.inputs import Array

__all__ = [
    "brier_sums",
    "class_sums",
    "correct_sums",
    "ece_sums",
    "ece_value",
    "error_sums",
    "f1_value",
    "hamming_sums",
    "label_sums",
    "log_loss_sums",
    "macro_f1_value",
    "macro_precision_value",
    "macro_recall_value",
    "mcc_value",
    "mean_value",
    "pearson_sums",
    "pearson_value",
    "r2_sums",
    "r2_value",
    "root_value",
    "spearman_sums",
    "square_sums",
    "subset_sums",
]

_BINS = 15
_THRESHOLD = 0.5
# A variance below this share of the second moment is rounding.
_ROUNDING = 1e-12


def _with_count(column: Array) -> Array:
    return np.stack([column, np.ones(len(column))], axis=1)


def _ratio(top: Array, bottom: Array) -> Array:
    """The quotient, and 0 where the divisor is 0."""
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom > 0)


def mean_value(sums: Array) -> Array:
    """The mean of the first column; the second counts rows."""
    return sums[..., 0] / sums[..., 1]


def root_value(sums: Array) -> Array:
    """The root of the mean of the first column."""
    return np.sqrt(mean_value(sums))


# Classification: predictions are probabilities [n, C], labels class numbers [n].


def correct_sums(predictions: Array, labels: Array) -> Array:
    """1 where the most probable class is the label (the first one of equals), and the count."""
    return _with_count((predictions.argmax(axis=1) == labels).astype(np.float64))


def log_loss_sums(predictions: Array, labels: Array) -> Array:
    """Minus the log of the label's probability, which counts as at least `CLIP`, and the count."""
    chance = predictions[np.arange(len(labels)), labels]
    return _with_count(-np.log(np.clip(chance, CLIP, 1.0)))


def brier_sums(predictions: Array, labels: Array) -> Array:
    """Squared distance from the one-hot label, summed over classes (Brier, 1950), and the count."""
    distance = predictions - np.eye(predictions.shape[1])[labels]
    return _with_count(np.square(distance).sum(axis=1))


def ece_sums(predictions: Array, labels: Array) -> Array:
    """Confidence minus correctness in the column of the row's bin, and the count."""
    confidence, correct = top_label(predictions, labels)
    sums = np.zeros((len(labels), _BINS + 1))
    sums[np.arange(len(labels)), bin_numbers(confidence, _BINS)] = confidence - correct
    sums[:, -1] = 1.0
    return sums


def ece_value(sums: Array) -> Array:
    """The mean over rows of the absolute gap of their bin."""
    gaps: Array = np.abs(sums[..., :-1]).sum(axis=-1)
    return gaps / sums[..., -1]


def class_sums(predictions: Array, labels: Array) -> Array:
    """For each class: hit, predicted, actual, as 3 blocks of C columns."""
    one_hot = np.eye(predictions.shape[1])
    predicted, actual = one_hot[predictions.argmax(axis=1)], one_hot[labels]
    return np.concatenate([predicted * actual, predicted, actual], axis=1)


def _blocks(sums: Array) -> tuple[Array, Array, Array]:
    hit, predicted, actual = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    return hit, predicted, actual


def _macro(per_class: Array, predicted: Array, actual: Array) -> Array:
    present = predicted + actual > 0
    mean: Array = (per_class * present).sum(axis=-1) / present.sum(axis=-1).clip(1)
    return mean


def macro_precision_value(sums: Array) -> Array:
    """Mean precision of the classes that occur; 0 for one that is never predicted."""
    hit, predicted, actual = _blocks(sums)
    return _macro(_ratio(hit, predicted), predicted, actual)


def macro_recall_value(sums: Array) -> Array:
    """Mean recall of the classes that occur; 0 for one that is predicted and never true."""
    hit, predicted, actual = _blocks(sums)
    return _macro(_ratio(hit, actual), predicted, actual)


def macro_f1_value(sums: Array) -> Array:
    """Mean F1 of the classes that occur; 0 when none does."""
    hit, predicted, actual = _blocks(sums)
    return _macro(_ratio(2 * hit, predicted + actual), predicted, actual)


def mcc_value(sums: Array) -> Array:
    """Matthews' coefficient for C classes (Gorodkin, 2004); 0 if one side holds one class only."""
    hit, predicted, actual = _blocks(sums)
    rows = actual.sum(axis=-1)
    top = hit.sum(axis=-1) * rows - (predicted * actual).sum(axis=-1)
    spread = (rows**2 - np.square(predicted).sum(axis=-1)) * (
        rows**2 - np.square(actual).sum(axis=-1)
    )
    return _ratio(top, np.sqrt(spread.clip(0)))


# Several labels per row: predictions are probabilities [n, C], labels 0 or 1 [n, C].


def label_sums(predictions: Array, labels: Array) -> Array:
    """As `class_sums`; a label is predicted from a probability of 0.5 on."""
    predicted = (predictions >= _THRESHOLD).astype(np.float64)
    return np.concatenate([predicted * labels, predicted, labels], axis=1)


def f1_value(sums: Array) -> Array:
    """F1 over all labels together; 0 where no label is true or predicted."""
    hit, predicted, actual = _blocks(sums)
    return _ratio(2 * hit.sum(axis=-1), (predicted + actual).sum(axis=-1))


def subset_sums(predictions: Array, labels: Array) -> Array:
    """1 where all labels of the row are right, and the count."""
    right = (predictions >= _THRESHOLD) == (labels == 1)
    return _with_count(right.all(axis=1).astype(np.float64))


def hamming_sums(predictions: Array, labels: Array) -> Array:
    """The share of the row's labels that are wrong, and the count."""
    wrong = (predictions >= _THRESHOLD) != (labels == 1)
    return _with_count(wrong.mean(axis=1))


# Regression: predictions [n] and labels [n].


def square_sums(predictions: Array, labels: Array) -> Array:
    """The squared error, and the count."""
    return _with_count(np.square(predictions - labels))


def error_sums(predictions: Array, labels: Array) -> Array:
    """The absolute error, and the count."""
    return _with_count(np.abs(predictions - labels))


def r2_sums(predictions: Array, labels: Array) -> Array:
    """Label, squared label, squared error, count; labels are centred, which changes no value."""
    true = _centred(labels)
    error = np.square(predictions - labels)
    return np.stack([true, true**2, error, np.ones(len(true))], axis=1)


def r2_value(sums: Array) -> Array:
    """1 - error / variance; for equal labels 1 without any error, otherwise 0."""
    first, second, error, rows = np.moveaxis(sums, -1, 0)
    spread = _spread(first, second, rows)
    share = _ratio(error, spread)
    return np.where(spread > 0, 1.0 - share, np.where(error > 0, 0.0, 1.0))


def pearson_sums(predictions: Array, labels: Array) -> Array:
    """Both, their squares, their product, count; both are centred, which changes no value."""
    x, y = _centred(predictions), _centred(labels)
    return np.stack([x, y, x * x, y * y, x * y, np.ones(len(x))], axis=1)


def spearman_sums(predictions: Array, labels: Array) -> Array:
    """As `pearson_sums`, of the ranks among all rows (equals share their mean rank).

    Weighted sums keep the ranks of the full sample; the standard error that a bootstrap finds was
    3 to 6 % below the true one at 200 rows and correlations from 0.5 to 0.95.
    """
    return pearson_sums(_ranks(predictions), _ranks(labels))


def pearson_value(sums: Array) -> Array:
    """The correlation; 0 if either side is constant."""
    x, y, xx, yy, xy, rows = np.moveaxis(sums, -1, 0)
    bottom = np.sqrt(_spread(x, xx, rows)) * np.sqrt(_spread(y, yy, rows))
    return _ratio(xy - x * y / rows, bottom).clip(-1.0, 1.0)


def _ranks(values: Array) -> Array:
    """Ranks from 1; equals share their mean rank."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[number]
    return ranks


def _centred(values: Array) -> Array:
    centred: Array = values - values.mean()
    if np.abs(centred).max() <= _ROUNDING * np.abs(values).max():
        return np.zeros(len(values))
    return centred


def _spread(first: Array, second: Array, rows: Array) -> Array:
    """The sum of squares about the mean, 0 where only rounding is left of it."""
    spread = second - first**2 / rows
    return np.where(spread > _ROUNDING * second, spread, 0.0)
