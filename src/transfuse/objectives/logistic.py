"""Logistic regression over vectors that are already there, solved and not trained.

A pure function of numbers, for few rows: full batches, L-BFGS, and a penalty that the rows choose
themselves by cross-validation.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

__all__ = ["PENALTIES", "choose_penalty", "fit_logistic", "log_loss"]

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The grid that a penalty is chosen from, the strongest first."""

FALLBACK_PENALTY = 1e-2
"""The penalty where no class has a second row to try it on."""

_FOLDS = 5
_MOST_ROWS = 4_000
_STEPS = 300

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


def fit_logistic(
    features: Floats,
    targets: Classes,
    classes: int,
    penalty: float,
    start: Floats | None = None,
    *,
    biased: bool = True,
) -> Floats:
    """Minimise the mean cross-entropy plus an L2 penalty on the weights, not on the biases.

    The penalty is penalty / 2 * m * |W|^2 with m the mean squared length of the features around
    their mean, so that it means the same whatever their scale.

    Args:
        features: Vectors [n, d].
        targets: Class numbers [n].
        classes: How many classes there are, with rows or without.
        penalty: Strength of the penalty, above 0.
        start: Where to begin. Default: all zeros.
        biased: Whether there are biases. Without them a longer vector changes no decision, and
            lengths count from 0 instead of from the mean. Default True.

    Returns:
        Weights and, in the last column, biases [classes, d + 1].
    """
    middle = features.mean(0) if biased else np.zeros(features.shape[1])
    # The minimum is the same for shifted features, and reached in fewer steps.
    centred = features - middle
    rows, dim = centred.shape
    strength = penalty * max(float(np.square(centred).sum(1).mean()), np.finfo(float).tiny)
    places = np.arange(rows)

    def value_and_gradient(vector: Floats) -> tuple[float, Floats]:
        weights = vector.reshape(classes, dim + 1)
        logits = centred @ weights[:, :-1].T + weights[:, -1]
        log_shares = logits - logsumexp(logits, axis=1, keepdims=True)
        value = -float(log_shares[places, targets].mean())
        value += strength / 2 * float(np.square(weights[:, :-1]).sum())
        residual = np.exp(log_shares)
        residual[places, targets] -= 1
        residual /= rows
        gradient = np.empty_like(weights)
        gradient[:, :-1] = residual.T @ centred + strength * weights[:, :-1]
        gradient[:, -1] = residual.sum(0) if biased else 0
        return value, gradient.ravel()

    begin = np.zeros((classes, dim + 1)) if start is None else start.copy()
    begin[:, -1] += begin[:, :-1] @ middle
    found = minimize(
        value_and_gradient,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _STEPS, "gtol": 1e-5},
    )
    weights: Floats = found.x.reshape(classes, dim + 1)
    weights[:, -1] -= weights[:, :-1] @ middle
    return weights


def log_loss(weights: Floats, features: Floats, targets: Classes) -> float:
    """The mean cross-entropy of fitted weights on some rows.

    Args:
        weights: What `fit_logistic` gave.
        features: Vectors [n, d].
        targets: Class numbers [n].
    """
    logits = features @ weights[:, :-1].T + weights[:, -1]
    log_shares = logits - logsumexp(logits, axis=1, keepdims=True)
    return -float(log_shares[np.arange(len(targets)), targets].mean())


def choose_penalty(
    features: Floats, targets: Classes, classes: int, seed: int = 0, *, biased: bool = True
) -> float:
    """The penalty of the grid with the least log-loss in stratified cross-validation.

    A row whose class has no other row is learnt from and never asked about.

    Args:
        features: Vectors [n, d]; of very many rows some are drawn.
        targets: Class numbers [n].
        classes: How many classes there are.
        seed: Draws the folds. Default 0.
        biased: As for `fit_logistic`.
    """
    order = np.random.default_rng(seed).permutation(len(targets))[:_MOST_ROWS]
    features, targets = features[order], targets[order]
    fold = _folds(targets)
    losses = np.zeros(len(PENALTIES))
    for number in range(fold.max() + 1):
        asked, learnt = fold == number, fold != number
        start = None
        for place, penalty in enumerate(PENALTIES):
            start = fit_logistic(
                features[learnt], targets[learnt], classes, penalty, start, biased=biased
            )
            losses[place] += asked.sum() * log_loss(start, features[asked], targets[asked])
    return PENALTIES[int(losses.argmin())] if fold.max() >= 0 else FALLBACK_PENALTY


def _folds(targets: Classes) -> Classes:
    """The fold of each row [n]; -1 for a row that is the only one of its class."""
    fold = np.full(len(targets), -1)
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        if len(rows) > 1:
            fold[rows] = np.arange(len(rows)) % _FOLDS
    return fold
