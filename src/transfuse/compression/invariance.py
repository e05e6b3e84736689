"""Whether a model answers a text the same, whatever else it is asked at the same time."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.exported import ExportedModel, OnnxModel
from transfuse.compression.sensitivity import logit_error

__all__ = ["batch_invariance", "invariance_told", "precision_told"]

_TOLERANCE = 1e-3
"""Scores that differ by less are the same to whoever reads them: a tenth of a percentage point."""

_TEXTS = 24


class _Scoring(Protocol):
    """A model: texts in, scores out."""

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Scores of texts, [n, outputs]."""


def batch_invariance(model: _Scoring, texts: Sequence[str]) -> float:
    """The greatest difference that the company of a text makes to its scores.

    Each text is asked alone, among all others, and beside a much longer one, which pads it.

    Args:
        model: A model folder, or what answers in it.
        texts: Texts; a few dozen tell enough.

    Returns:
        The greatest absolute difference of a score; 0 for fewer than two texts.
    """
    if len(texts) < 2:
        return 0.0
    long = " ".join(sorted(texts, key=len)[-3:])
    together = model.scores(texts)
    worst = 0.0
    for place, text in enumerate(texts):
        alone = model.scores([text])[0]
        beside = model.scores([text, long])[0]
        for other in (together[place], beside):
            worst = max(worst, float(np.abs(alone - other).max()))
    return worst


def precision_told(
    model: ExportedModel, plain: OnnxModel, texts: Sequence[str], logits: NDArray[np.float32]
) -> dict[str, Any]:
    """What a stage tells of a model in other numbers, beside its graph in 32 bits.

    Args:
        model: The model.
        plain: The graph in 32 bits.
        texts: Training texts that both are asked.
        logits: What the plain graph says of them, [n, outputs].
    """
    return {
        "bytes": model.size,
        "bytes_before": plain.size,
        "rows": len(texts),
        "logit_error": logit_error(model.logits(texts), logits),
        **invariance_told(model, texts),
    }


def invariance_told(
    model: _Scoring, texts: Sequence[str], tolerance: float = _TOLERANCE
) -> dict[str, Any]:
    """What a stage tells of batch invariance.

    Args:
        model: The model.
        texts: Texts, of which two dozen of different lengths are asked.
        tolerance: The difference above which a model is flagged. Default: 0.001.

    Returns:
        `batch_difference`, `batch_tolerance` and `batch_invariant`.
    """
    ordered = sorted(texts, key=len)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(_TEXTS, len(ordered))).astype(int))
    difference = batch_invariance(model, [ordered[place] for place in places])
    return {
        "batch_difference": difference,
        "batch_tolerance": tolerance,
        "batch_invariant": difference <= tolerance,
    }
