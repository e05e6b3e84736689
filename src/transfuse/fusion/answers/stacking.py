"""A logistic regression on the members' answers."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Tell
from transfuse.answering.rules import FLOOR, Logistic, Rule
from transfuse.data import seed_for
from transfuse.errors import DataError, Problem
from transfuse.fusion.answers.base import AnswerFusion, Gathered
from transfuse.fusion.answers.folds import folds

__all__ = ["Stacking"]

Array = NDArray[np.float64]

_STRENGTHS = tuple(float(10.0**power) for power in range(-3, 3))


@dataclass(frozen=True)
class Stacking(AnswerFusion):
    """Multinomial logistic regression on the members' log-probabilities.

    It can learn whom to believe on which class, and mend a member's regular mistakes. It is fitted
    on answers to rows that no member learnt from: the validation rows, and training rows where no
    member learnt from those either (Wolpert, 1992, Neural Networks 5; the answers of members to
    rows that they learnt from would be too good to learn from).
    """

    strength: float | None = None
    """Inverse strength C of the L2 penalty. Default: the one of 0.001, 0.01 … 100 with the least
    cross-validated log-loss."""

    folds: int = 5
    """Parts of the cross-validation. Default: 5."""

    kinds: ClassVar[tuple[str, ...]] = ("classification",)
    fits: ClassVar[bool] = True
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.strength is not None and not (np.isfinite(self.strength) and self.strength > 0):
            raise ValueError("strength is a number above 0")
        if self.folds < 2:
            raise ValueError("folds is at least 2")

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        targets = gathered.targets
        missing = sorted(set(range(gathered.task.outputs)) - set(targets.tolist()))
        if missing:
            labels = ", ".join(repr(gathered.task.label_names[place]) for place in missing[:10])
            raise DataError(
                Problem(
                    "stacking",
                    f"no validation row of the class {labels}",
                    "a row of each class",
                    "Use `learned`, which learns one weight for each model.",
                )
            )
        number = seed_for(seed, "answers", "stacking")
        parts = folds(targets, gathered.groups, self.folds, number, "stacking")
        strengths = _STRENGTHS if self.strength is None else (self.strength,)
        found: list[tuple[float, float, Array]] = []
        for done, strength in enumerate(strengths):
            tell("strengths of stacking", done, len(strengths))
            answers = _out_of_fold(gathered, parts, strength)
            found.append((gathered.loss(answers), strength, answers))
        loss, strength, answers = min(found, key=lambda each: each[:2])
        rule = _fit(gathered.answers, targets, strength)
        return rule, {
            "strength": strength,
            # On the rows that it was fitted on it would look too good.
            "score": gathered.score(answers),
            "score_of": f"{len(parts)}-fold cross-validation",
            "loss": loss,
            "members_loss": [gathered.loss(answer) for answer in gathered.answers],
        }


def _out_of_fold(gathered: Gathered, parts: list[NDArray[np.int64]], strength: float) -> Array:
    """Answers to each part by a regression that was fitted on the others."""
    answers = np.empty(gathered.answers.shape[1:])
    for part in parts:
        others = gathered.at(np.setdiff1d(np.arange(gathered.rows), part))
        rule = _fit(others.answers, others.targets, strength)
        answers[part] = rule.combine("classification", gathered.answers[:, part])
    return answers


def _fit(answers: Array, targets: NDArray[np.int64], strength: float) -> Logistic:
    """The regression; a class without rows among these gets next to no probability."""
    # Imported here: most methods do not need it, and it takes a second.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    members, rows, outputs = answers.shape
    features = np.log(np.maximum(answers, FLOOR)).transpose(1, 0, 2).reshape(rows, -1)
    coefficients = np.zeros((features.shape[1], outputs))
    intercepts = np.full(outputs, 2 * np.log(FLOOR))
    classes = np.unique(targets)
    if len(classes) == 1:
        intercepts[classes] = 0.0
        return Logistic(coefficients.reshape(members, outputs, outputs), intercepts)
    # Scaled to a deviation of 1 as a whole, so that the penalty means the same for sure and unsure
    # members alike, and yet the surer of two members stays the surer.
    centre, scale = features.mean(axis=0), float(features.std(axis=0).mean()) or 1.0
    model = LogisticRegression(C=strength, max_iter=1000)
    with warnings.catch_warnings():
        # Where classes come apart cleanly, a weak penalty has its least loss far out; stopping on
        # the way there is as good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - centre) / scale, targets)
    weights, bias = model.coef_ / scale, model.intercept_
    if len(classes) == 2:  # one row for the second class, against the first
        weights, bias = np.vstack([-weights, weights]) / 2, np.hstack([-bias, bias]) / 2
    coefficients[:, classes] = weights.T
    intercepts[classes] = bias - weights @ centre
    return Logistic(coefficients.reshape(members, outputs, outputs), intercepts)
