"""What every measurement asks of its predictions and labels, checked in one place."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem

__all__ = ["LABEL_AXES", "UNLABELLED", "Array", "Kind", "checked", "checked_features"]

Array = npt.NDArray[Any]
Kind = Literal[
    "classification", "multilabel", "regression", "detection", "segmentation", "matching"
]

LABEL_AXES: dict[Kind, int] = {
    "classification": 1,
    "multilabel": 2,
    "regression": 1,
    "detection": 3,
    "segmentation": 2,
    "matching": 1,
}
"""How many axes the labels have, rows first."""

UNLABELLED = 255
"""The class of pixels that nobody labelled."""

_BOX = 5
"""A box is its class, centre x, centre y, width and height."""

# Probabilities computed in bfloat16 sum to 1 within about this much.
_SUM_TOLERANCE = 0.02


def checked(kind: Kind, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Array, Array]:
    """Predictions and labels in the shapes and types that the metrics are written for.

    Args:
        kind: `classification`: probabilities [n, C] and class numbers [n]; `multilabel`:
            probabilities [n, C] and 0 or 1 [n, C]; `regression`: values [n, 1] or [n] and
            values [n]; `detection`: probabilities and box of each query [n, Q, C + 5] and boxes
            [n, M, 5]; `segmentation`: probabilities [n, C, P] and the class of each pixel [n, P];
            `matching`: two vectors of length 1 (or 0) side by side [n, 2 p] and item numbers [n].
        predictions: What the model said.
        labels: What is true.

    Returns:
        Float64 predictions and labels: int64 [n], float64 [n, C], or two float64 [n]; boxes as
        float64, pixels as int64.

    Raises:
        DataError: If the arrays are empty, not finite, of other shapes than these, or hold values
            that are not probabilities or not labels.
    """
    given, true = np.asarray(predictions, dtype=np.float64), np.asarray(labels)
    if kind == "detection" or kind == "segmentation":
        return _checked_scenes(kind, given, true)
    if kind == "matching":
        return _checked_pairs(given, true)
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


def _checked_scenes(
    kind: Literal["detection", "segmentation"], given: Array, true: Array
) -> tuple[Array, Array]:
    boxes = kind == "detection"
    wanted = "[n, queries, classes + 5]" if boxes else "[n, classes, pixels]"
    fits = given.ndim == 3 and given.shape[2 if boxes else 1] > (_BOX if boxes else 0)
    _expect(fits, "predictions", f"shape {given.shape}", wanted)
    wanted = "[n, boxes, 5]" if boxes else f"{(len(given), given.shape[2])}"
    fits = len(true) == len(given) and true.ndim == LABEL_AXES[kind]
    fits = fits and true.shape[-1] == (_BOX if boxes else given.shape[2])
    _expect(fits, "labels", f"shape {true.shape}", wanted)
    _expect(len(given) > 0, "predictions", "no rows", "at least one")
    _finite("predictions", given)
    _finite("labels", true)
    outside = (given < 0) | (given > 1)
    _expect(not outside.any(), "predictions", "values outside 0…1", "probabilities and shares")
    if boxes:
        known = true[..., 0] < given.shape[2] - _BOX
    else:
        known = ((true >= 0) & (true < given.shape[1])) | (true == UNLABELLED)
    _expect(bool(known.all()), "labels", "a class that has no probability", "known classes")
    return given, true.astype(np.float64 if boxes else np.int64)


def _checked_pairs(given: Array, true: Array) -> tuple[Array, Array]:
    even = given.ndim == 2 and given.shape[1] > 0 and given.shape[1] % 2 == 0
    _expect(even, "predictions", f"shape {given.shape}", "[n, 2 p]")
    _expect(true.shape == given.shape[:1], "labels", f"shape {true.shape}", f"{given.shape[:1]}")
    _expect(len(given) > 0, "predictions", "no rows", "at least one")
    _expect(true.dtype.kind in "iu", "labels", f"type {true.dtype}", "item numbers")
    _finite("predictions", given)
    longest = np.square(given).reshape(len(given), 2, -1).sum(axis=2).max()
    _expect(longest <= 1 + _SUM_TOLERANCE, "predictions", "vectors longer than 1", "directions")
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
