"""Dynamic fusion: a gate weighs the members anew for every input."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Tell
from transfuse.answering.rules import Gated, Rule, gate_features
from transfuse.data import seed_for
from transfuse.fusion.answers.base import AnswerFusion, Gathered
from transfuse.fusion.answers.folds import folds
from transfuse.fusion.answers.simplex import least_log_loss

__all__ = ["Gate"]

Array = NDArray[np.float64]

_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)

_LEAST_SHARE = 1e-3
"""Members that `learned` gives nothing start from here: their logarithm must be finite."""


@dataclass(frozen=True)
class Gate(AnswerFusion):
    """The weighted mean with weights that depend on how sure each member is of the row.

    A linear gate reads each member's confidence and entropy, and gives the weights through a
    softmax (a mixture of experts whose experts stay fixed; Jacobs et al., 1991, Neural Computation
    3). It begins at the weights of `learned` and moves only as far from them as surely pays in
    cross-validation; often that is not at all, and the weights stay fixed.
    """

    reads: Literal["answers", "vectors"] = "answers"
    """What the gate reads of a row: the members' `answers`, or the `vectors` of the first member
    too, which must be a network and then runs twice. Default: answers."""

    penalty: float | None = None
    """Strength of the L2 penalty that holds the gate at fixed weights. Default: the one of 0.001,
    0.01 … 10 and infinity (fixed weights) with the least cross-validated log-loss, or the
    strongest that is within a standard error of it."""

    folds: int = 5
    """Parts of the cross-validation. Default: 5."""

    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    fits: ClassVar[bool] = True
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.penalty is not None and not (np.isfinite(self.penalty) and self.penalty > 0):
            raise ValueError("penalty is a number above 0")
        if self.folds < 2:
            raise ValueError("folds is at least 2")

    @property
    def reads_vectors(self) -> bool:
        """See `AnswerFusion.reads_vectors`."""
        return self.reads == "vectors"

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        number = seed_for(seed, "answers", "gate")
        parts = folds(gathered.targets, gathered.groups, self.folds, number, "gate")
        penalties = (*_PENALTIES, np.inf) if self.penalty is None else (self.penalty,)
        found: list[Array] = []
        for done, penalty in enumerate(penalties):
            tell("penalties of the gate", done, len(penalties))
            found.append(_out_of_fold(gathered, parts, penalty))
        place = _strongest(gathered, found)
        penalty, answers = penalties[place], found[place]
        return _fit(gathered, penalty), {
            "penalty": penalty if np.isfinite(penalty) else "fixed weights",
            "score": gathered.score(answers),
            "score_of": f"{len(parts)}-fold cross-validation",
            "loss": gathered.loss(answers),
            "members_loss": [gathered.loss(answer) for answer in gathered.answers],
        }


def _out_of_fold(gathered: Gathered, parts: list[NDArray[np.int64]], penalty: float) -> Array:
    """Answers to each part by a gate that was fitted on the others."""
    answers = np.empty(gathered.answers.shape[1:])
    for part in parts:
        gate = _fit(gathered.at(np.setdiff1d(np.arange(gathered.rows), part)), penalty)
        held = gathered.at(part)
        answers[part] = gate.combine("classification", held.answers, held.vectors)
    return answers


def _strongest(gathered: Gathered, found: list[Array]) -> int:
    """The last of several answers, of ever stronger penalties, that is as good as the best.

    As good: its loss is above the least by no more than the standard error of the difference
    (Breiman et al., 1984, "Classification and regression trees", section 3.4.3), by groups of rows.
    """
    losses = np.stack([-np.log(gathered.at_truth(answers)) for answers in found])
    more = losses - losses[losses.mean(axis=1).argmin()]
    names = range(gathered.rows) if gathered.groups is None else gathered.groups
    places: dict[Any, int] = {}
    units = np.array([places.setdefault(name, len(places)) for name in names])
    good = []
    for place, row in enumerate(more):
        sums = np.bincount(units, weights=row - row.mean())
        if row.mean() <= np.sqrt((sums**2).sum()) / len(row) + 1e-12:
            good.append(place)
    return good[-1]


def _fit(gathered: Gathered, penalty: float) -> Gated:
    """The gate with the least log-loss of the mixture and penalty; fixed where that is infinite."""
    # Imported here: it takes a tenth of a second that other methods do not need.
    from scipy.optimize import minimize

    truths, features = gathered.truths(), gate_features(gathered.answers, gathered.vectors)
    centres = features.mean(axis=0)
    deviations = features.std(axis=0)
    scales = np.where(deviations > 1e-9, deviations, 1.0)
    scaled = (features - centres) / scales
    rows, count = scaled.shape
    members = truths.shape[1]
    start, _ = least_log_loss(truths)
    offsets = np.log(np.maximum(start, _LEAST_SHARE))
    if not np.isfinite(penalty):
        return Gated(offsets, np.zeros((count, members)), centres, scales)

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(count, members)
        values = scaled @ weights + offsets
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        joint = shares * truths
        mixed = joint.sum(axis=1, keepdims=True)
        slope = scaled.T @ (shares - joint / mixed) / rows + penalty * weights
        value = -np.log(mixed).mean() + penalty / 2 * (weights**2).sum()
        return float(value), slope.ravel()

    found = minimize(loss, np.zeros(count * members), jac=True, method="L-BFGS-B")
    return Gated(offsets, found.x.reshape(count, members), centres, scales)
