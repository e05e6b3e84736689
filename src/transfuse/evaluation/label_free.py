"""Scores that need no label of the target: to select an epoch, a method or an option by.

Selecting by the target's labels would be using what an adaptation claims not to have. `LABEL_FREE`
lists the criteria by name; `regret` says afterwards what a selection cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import Array, checked, checked_features

__all__ = [
    "LABEL_FREE",
    "Criterion",
    "density_ratio",
    "entropy",
    "importance_weighted_risk",
    "information_maximisation",
    "regret",
]

# Inverse strength of the domain classifier's penalty, on standardised features: with hundreds of
# them a weak penalty tells the rows apart, and not the domains.
_STRENGTH = 0.01
_FOLDS = 5
# Log-odds beyond this say no more than that a row is of one domain only.
_CERTAIN = 30.0


@dataclass(frozen=True)
class Criterion:
    """A score of a model on rows whose labels are not known.

    Args:
        name: What recipes and tables call it.
        title: What a person reads.
        reads: The arguments of `measure`: `probabilities` of target rows [n, C], or
            `source_losses` [m] of labelled source rows and their `weights` [m].
        measure: From those arguments, given by name, to the score.
        higher_is_better: Whether more is better.
    """

    name: str
    title: str
    reads: tuple[str, ...]
    measure: Callable[..., float]
    higher_is_better: bool


def entropy(probabilities: npt.ArrayLike) -> float:
    """The mean entropy of predictions in nats; less is surer.

    It also falls when a model answers one class for all rows: `information_maximisation` does not.

    Args:
        probabilities: [n, C].

    Returns:
        0 (sure of every row) to log C.

    Raises:
        DataError: If they are not probabilities.
    """
    shares = _probabilities(probabilities)
    return float(_entropies(shares).mean())


def information_maximisation(probabilities: npt.ArrayLike) -> float:
    """Entropy of the mean prediction less the mean entropy of predictions, in nats; more is better.

    It is the mutual information of rows and predicted classes: high where each row is sure of a
    class and the classes are all in use (Bridle, Heading and MacKay, 1991, 'Unsupervised
    classifiers, mutual information and phantom targets').

    Args:
        probabilities: [n, C].

    Returns:
        0 (all rows are predicted alike) to log C.

    Raises:
        DataError: If they are not probabilities.
    """
    shares = _probabilities(probabilities)
    together = _entropies(shares.mean(axis=0, keepdims=True))[0]
    # Rounding alone may bring the difference below 0.
    return float(max(0.0, together - _entropies(shares).mean()))


def importance_weighted_risk(
    source_losses: npt.ArrayLike, weights: npt.ArrayLike, *, control_variate: bool = False
) -> float:
    """The target's risk as estimated from losses on labelled source rows; less is better.

    Sugiyama, Krauledat and Müller (2007), 'Covariate shift adaptation by importance weighted
    cross validation': the weighted mean of the losses. The rows must not be those that the model
    was fitted on.

    Args:
        source_losses: The loss of each source row, [m].
        weights: How much more likely each row is in the target than in the source, [m], as
            `density_ratio` gives it.
        control_variate: Whether the deviation of the mean weight from 1 is used to reduce the
            variance, as in deep embedded validation (You et al., 2019). The estimate may then be
            below 0 on few rows. Default: no; the sum is divided by the sum of the weights instead.

    Raises:
        DataError: If lengths differ, a value is not finite, or weights are negative or all 0.
    """
    losses = _vector("source_losses", source_losses)
    shares = _vector("weights", weights)
    if len(losses) != len(shares):
        what = f"{len(shares)} weights for {len(losses)} losses"
        raise DataError(Problem("weights", what, "one for each loss"))
    if (shares < 0).any() or not shares.any():
        raise DataError(Problem("weights", "negative, or all 0", "0 or above, and some above 0"))
    if not control_variate:
        return float(losses @ (shares / shares.sum()))
    weighted = losses * shares
    centred = shares - shares.mean()
    spread = float(centred @ centred)
    if spread == 0.0:
        return float(weighted.mean())
    slope = -float((weighted - weighted.mean()) @ centred) / spread
    return float(weighted.mean() + slope * (shares.mean() - 1.0))


def density_ratio(
    source_features: npt.ArrayLike,
    target_features: npt.ArrayLike,
    seed: int = 0,
    *,
    strength: float = _STRENGTH,
) -> npt.NDArray[np.float64]:
    """How much more likely each source row is in the target than in the source.

    Bickel, Brückner and Scheffer (2007), 'Discriminative learning for differing training and test
    distributions': the odds of a logistic regression that tells the domains apart, corrected for
    their sizes. Each source row is judged by a regression that was not fitted on it.

    Args:
        source_features: [n, d], at least 2 rows.
        target_features: [m, d], at least 2 rows.
        seed: Decides the folds. Default: 0.
        strength: Inverse strength of the L2 penalty, on standardised features. Default: 0.01.

    Returns:
        Ratios above 0, [n]; their mean is 1 up to error, not exactly.

    Raises:
        DataError: If features are not finite or differ in width, or a domain has one row only.
    """
    # Imported here: scikit-learn takes a second that no other measurement needs.
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    source = checked_features("source", source_features)
    target = checked_features("target", target_features)
    if source.shape[1] != target.shape[1]:
        what = f"{target.shape[1]} features"
        raise DataError(Problem("target", what, f"{source.shape[1]}, as the source has"))
    folds = min(_FOLDS, len(source))
    fold = np.random.default_rng(seed).permutation(len(source)) % folds
    odds = np.empty(len(source))
    for number in range(folds):
        rows = np.concatenate([source[fold != number], target])
        domain = np.repeat([0, 1], [int((fold != number).sum()), len(target)])
        scaler = StandardScaler().fit(rows)
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
        model.fit(scaler.transform(rows), domain)
        odds[fold == number] = model.decision_function(scaler.transform(source[fold == number]))
    return np.exp(np.clip(odds, -_CERTAIN, _CERTAIN))


def regret(selected: float, scores: Sequence[float], *, higher_is_better: bool = True) -> float:
    """What a selection without labels lost against the best choice, which only labels can tell.

    Args:
        selected: The true score of what was selected.
        scores: The true scores of all that could have been selected.
        higher_is_better: Whether more is better. Default: yes.

    Returns:
        0 if the best was selected, else how far it is away.

    Raises:
        DataError: If there are no scores, or one is not finite.
    """
    known = _vector("scores", [*scores, selected])[:-1]
    if not len(known):
        raise DataError(Problem("scores", "there are none", "at least one"))
    return float(known.max() - selected if higher_is_better else selected - known.min())


LABEL_FREE: dict[str, Criterion] = {
    "entropy": Criterion("entropy", "Mean entropy (nats)", ("probabilities",), entropy, False),
    "information_maximisation": Criterion(
        "information_maximisation",
        "Mutual information of rows and predictions (nats)",
        ("probabilities",),
        information_maximisation,
        True,
    ),
    "iw_risk": Criterion(
        "iw_risk",
        "Importance-weighted source risk",
        ("source_losses", "weights"),
        importance_weighted_risk,
        False,
    ),
}


def _probabilities(given: npt.ArrayLike) -> Array:
    shares = np.asarray(given, dtype=np.float64)
    # The labels are not looked at; any class number will do.
    return checked("classification", shares, np.zeros(shares.shape[:1], dtype=np.int64))[0]


def _entropies(shares: Array) -> Array:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    found: Array = -(shares * logs).sum(axis=1)
    return found


def _vector(where: str, given: npt.ArrayLike) -> Array:
    return checked_features(where, np.asarray(given, dtype=np.float64)[..., None], rows=1)[:, 0]
