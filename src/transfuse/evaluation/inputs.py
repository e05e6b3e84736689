"""What every measurement asks of its predictions and labels, checked in one place."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem

__all__ = ["Array", "Kind", "checked", "checked_features"]

Array = npt.NDArray[Any]
Kind = Literal["classification", "multilabel", "regression"]

# Probabilities computed in bfloat16 sum to 1 within about this much.
_SUM_TOLERANCE = 0.02


def checked(kind: Kind, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Array, Array]:
    """Predictions and labels in the shapes and types that the metrics are written for.

    Args:
        kind: `classification`: probabilities [n, C] and class numbers [n]; `multilabel`:
            probabilities [n, C] and 0 or 1 [n, C]; `regression`: values [n, 1] or [n] and
            values [n].
        predictions: What the model said.
        labels: What is true.

    Returns:
        Float64 predictions and labels: int64 [n], float64 [n, C], or two float64 [n].

    Raises:
        DataError: If the arrays are empty, not finite, of other shapes than these, or hold values
            that are not probabilities or not labels.
    """
    given, true = np.asarray(predictions, dtype=np.float64), np.asarray(labels)
    if kind == "regression":
        given = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
        _expect(given.ndim == 1, "predictions", f"shape {given.shape}", "[n, 1] or [n]")
    else:
        wide = given.ndim == 2 and given.shape[1] > 0
        _expect(wide, "predictions", f"shape {given.shape}", "[n, classes]")
    expected = given.shape if kind == "multilabel" else given.shape[:1]
    _expect(true.shape == expected, "labels", f"shape {true.shape}", f"{expected}")
    _expect(len(given) > 0, "predictions", "no rows", "at least one")
    _finite("predictions", given)
    _expect(true.dtype.kind in "buif", "labels", f"type {true.dtype}", "numbers")
    _finite("labels", true)
    if kind != "regression":
        outside = (given < 0) | (given > 1)
        _expect(not outside.any(), "predictions", "values outside 0…1", "probabilities")
    if kind == "regression":
        return given, true.astype(np.float64)
    if kind == "multilabel":
        _expect(bool(np.isin(true, (0, 1)).all()), "labels", "values other than 0 and 1", "0 or 1")
        return given, true.astype(np.float64)
    total = given.sum(axis=1)
    odd = np.flatnonzero(np.abs(total - 1) > _SUM_TOLERANCE)
    if len(odd):
        what = f"row {odd[0]} sums to {total[odd[0]]:.4g}"
        raise DataError(Problem("predictions", what, "probabilities that sum to 1"))
    classes = given.shape[1]
    wrong = np.flatnonzero((true < 0) | (true >= classes) | (true != np.floor(true)))
    if len(wrong):
        what = f"row {wrong[0]} has label {true[wrong[0]]}"
        raise DataError(Problem("labels", what, f"class numbers from 0 to {classes - 1}"))
    return given, true.astype(np.int64)


def checked_features(where: str, features: npt.ArrayLike, rows: int = 2) -> Array:
    """Features as float64 [n, d].

    Args:
        where: The side they belong to, for errors.
        features: One row per example.
        rows: The fewest rows that will do. Default: 2.

    Raises:
        DataError: If they are not finite, not a matrix, or too few.
    """
    found = np.asarray(features, dtype=np.float64)
    matrix = found.ndim == 2 and found.shape[1] > 0
    _expect(matrix, where, f"shape {found.shape}", "features [n, d]")
    _expect(len(found) >= rows, where, f"{len(found)} rows", f"at least {rows}")
    _finite(where, found)
    return found


def _finite(where: str, values: Array) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise DataError(Problem(where, f"row {row} is not finite", "numbers without NaN or inf"))


def _expect(holds: bool, where: str, what: str, expected: str) -> None:
    if not holds:
        raise DataError(Problem(where, what, expected))
