"""Whether a model answers a row the same, whatever else it is asked at the same time."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.exported import ExportedModel, OnnxModel
from transfuse.compression.sensitivity import logit_error

__all__ = ["batch_invariance", "invariance_told", "precision_told"]

_TOLERANCE = 1e-3
"""Scores that differ by less are the same to whoever reads them: a tenth of a percentage point."""

_ROWS = 24


class _Scoring(Protocol):
    """A model: rows in, scores out."""

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Scores of rows, [n, outputs]."""


def batch_invariance(model: _Scoring, rows: Sequence[Any]) -> float:
    """The greatest difference that the company of a row makes to its scores.

    Each row is asked alone, among all others, and beside one other: of texts a much longer one,
    which pads it, else its neighbour.

    Args:
        model: A model folder, or what answers in it.
        rows: Rows; a few dozen tell enough.

    Returns:
        The greatest absolute difference of a score; 0 for fewer than two rows.
    """
    if len(rows) < 2:
        return 0.0
    written = [row for row in rows if isinstance(row, str)]
    long = " ".join(sorted(written, key=len)[-3:])
    together = model.scores(rows)
    worst = 0.0
    for place, row in enumerate(rows):
        alone = model.scores([row])[0]
        beside = model.scores([row, long if written else rows[place - 1]])[0]
        for other in (together[place], beside):
            worst = max(worst, float(np.abs(alone - other).max()))
    return worst


def precision_told(
    model: ExportedModel, plain: OnnxModel, rows: Sequence[Any], logits: NDArray[np.float32]
) -> dict[str, Any]:
    """What a stage tells of a model in other numbers, beside its graph in 32 bits.

    Args:
        model: The model.
        plain: The graph in 32 bits.
        rows: Training rows that both are asked.
        logits: What the plain graph says of them, [n, outputs].
    """
    return {
        "bytes": model.size,
        "bytes_before": plain.size,
        "rows": len(rows),
        "logit_error": logit_error(model.logits(rows), logits),
        **invariance_told(model, rows),
    }


def invariance_told(
    model: _Scoring, rows: Sequence[Any], tolerance: float = _TOLERANCE
) -> dict[str, Any]:
    """What a stage tells of batch invariance.

    Args:
        model: The model.
        rows: Rows, of which two dozen are asked, of texts of different lengths.
        tolerance: The difference above which a model is flagged. Default: 0.001.

    Returns:
        `batch_difference`, `batch_tolerance` and `batch_invariant`.
    """
    ordered = sorted(rows, key=lambda row: len(row) if isinstance(row, str) else 0)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(_ROWS, len(ordered))).astype(int))
    difference = batch_invariance(model, [ordered[place] for place in places])
    return {
        "batch_difference": difference,
        "batch_tolerance": tolerance,
        "batch_invariant": difference <= tolerance,
    }
