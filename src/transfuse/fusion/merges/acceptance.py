"""Whether a merge is better than every model that it is made of, or only lucky."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from transfuse.evaluation import Bootstrap, Gain, Metric, Replicates, holm

__all__ = ["Comparison", "Verdict", "accept", "row_scores"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A merge beside one of the models that it is made of.

    Args:
        candidate: The merge.
        parent: The model.
        gain: How much better the merge is, with its interval; the p-value stands alone.
        p: The p-value corrected for all comparisons.
        beats: Whether the merge is better beyond chance.
    """

    candidate: str
    parent: str
    gain: Gain
    p: float
    beats: bool


@dataclass(frozen=True)
class Verdict:
    """Which merge is accepted, or what to fall back to.

    Args:
        accepted: The merge that beats every parent; the best of several. None: there is none.
        fall_back: What to take where none is accepted: a parent's name, or `ensemble`.
        comparisons: Every merge beside every parent.
        means: The mean score of every merge, parent, and of the ensemble.
        reason: One sentence.
    """

    accepted: str | None
    fall_back: str
    comparisons: tuple[Comparison, ...]
    means: Mapping[str, float]
    reason: str

    @property
    def chosen(self) -> str:
        """The accepted merge, or what to fall back to."""
        return self.fall_back if self.accepted is None else self.accepted

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        return {
            "accepted": self.accepted,
            "chosen": self.chosen,
            "reason": self.reason,
            "means": dict(self.means),
            "comparisons": [
                {
                    "candidate": each.candidate,
                    "parent": each.parent,
                    "gain": each.gain.value,
                    "low": each.gain.low,
                    "high": each.gain.high,
                    "p": each.p,
                    "beats": each.beats,
                }
                for each in self.comparisons
            ],
        }


def accept(
    candidates: Mapping[str, npt.ArrayLike],
    parents: Mapping[str, npt.ArrayLike],
    seed: int,
    *,
    ensemble: npt.ArrayLike | None = None,
    documents: Sequence[Any] | None = None,
    confidence: float = 0.95,
) -> Verdict:
    """Judge merges by a paired bootstrap, corrected for the number of comparisons.

    A merge is accepted if it is better than each parent with a p-value below 1 - confidence after
    Holm's correction over all pairs of a candidate and a parent. Trying more merges thus never
    makes it easier for one of them to be accepted. The rows must be others than those by which
    coefficients were chosen.

    Args:
        candidates: Each merge's score of each row, greater is better, such as 1 where it is right
            and 0 where it is wrong, [n].
        parents: The same of each model that they are made of, [n].
        seed: Seed of the bootstrap.
        ensemble: The same of the ensemble of the parents, which is fallen back to where its mean
            is not below the best parent's. Default: there is none.
        documents: The document of each row; rows of one document are drawn together. Default:
            every row alone.
        confidence: The chance that no merge is accepted where none is better. Default: 0.95.

    Raises:
        ValueError: If there is no candidate or no parent, or a name stands twice.
        DataError: If the scores are not one number a row, or there are fewer than 2 documents.
    """
    if not candidates or not parents or set(candidates) & set(parents):
        raise ValueError("expected candidates and parents with names of their own")
    scores = {
        name: np.asarray(each, np.float64) for name, each in {**candidates, **parents}.items()
    }
    rows = len(next(iter(scores.values())))
    bootstrap = Bootstrap(
        range(rows) if documents is None else documents, 1, confidence=confidence, seed=seed
    )
    replicates = {name: _replicates(bootstrap, each) for name, each in scores.items()}
    pairs = [(merge, parent) for merge in candidates for parent in parents]
    gains = [bootstrap.gain(replicates[merge], replicates[parent]) for merge, parent in pairs]
    corrected = holm([gain.p for gain in gains])
    comparisons = tuple(
        Comparison(merge, parent, gain, float(p), bool(gain.value > 0 and p < 1 - confidence))
        for (merge, parent), gain, p in zip(pairs, gains, corrected, strict=True)
    )
    means = {name: float(each.mean()) for name, each in scores.items()}
    best = max(parents, key=lambda name: means[name])
    fall_back = best
    if ensemble is not None:
        means["ensemble"] = float(np.asarray(ensemble, np.float64).mean())
        fall_back = "ensemble" if means["ensemble"] >= means[best] else best
    good = [
        merge
        for merge in candidates
        if all(each.beats for each in comparisons if each.candidate == merge)
    ]
    accepted = max(good, key=lambda name: means[name]) if good else None
    reason = _reason(accepted, fall_back, comparisons, means, list(candidates))
    return Verdict(accepted, fall_back, comparisons, means, reason)


def row_scores(kind: str, scores: Vector, targets: npt.NDArray[Any]) -> Vector:
    """How right each row is, greater is better, [n].

    Args:
        kind: `classification`: 1 where the most probable label is the right one; `multilabel`: the
            share of labels that are right; `regression`: minus the squared error.
        scores: Probabilities or values, [n, outputs].
        targets: What the task's `encode` gave.
    """
    match kind:
        case "classification":
            hits: Vector = (scores.argmax(1) == targets).astype(np.float64)
            return hits
        case "multilabel":
            right: Vector = ((scores >= 0.5) == (targets > 0)).mean(1)
            return right
        case _:
            errors: Vector = -np.square(scores[:, 0] - targets)
            return errors


def _replicates(bootstrap: Bootstrap, scores: Vector) -> Replicates:
    return bootstrap.replicates(_ROWS, scores[None, :, None], np.zeros(len(scores)))


def _given(predictions: Vector, _labels: Vector) -> Vector:
    return np.stack([predictions, np.ones(len(predictions))], axis=1)


def _mean(sums: Vector) -> Vector:
    means: Vector = sums[..., 0] / sums[..., 1]
    return means


_ROWS = Metric("row_score", "Mean row score", "regression", _given, _mean, bounds=(-inf, inf))
"""The mean of numbers that are given; the bootstrap asks for a metric."""


def _reason(
    accepted: str | None,
    fall_back: str,
    comparisons: tuple[Comparison, ...],
    means: Mapping[str, float],
    candidates: list[str],
) -> str:
    if accepted is not None:
        return f"{accepted} beats every model that it is made of, beyond chance."
    best = max(candidates, key=lambda name: means[name])
    open_ = [each.parent for each in comparisons if each.candidate == best and not each.beats]
    beaten = (
        "no model"
        if len(open_) == len({each.parent for each in comparisons})
        else ("not " + ", ".join(open_))
    )
    return f"The best merge, {best}, beats {beaten} beyond chance; {fall_back} is taken instead."
