"""How many labels a baseline would have needed for the same score."""

from collections.abc import Sequence
from math import inf

import numpy as np

from transfuse.errors import DataError, Problem
from transfuse.evaluation.inputs import Array

__all__ = ["labels_needed"]


def labels_needed(
    budgets: Sequence[float],
    scores: Sequence[float],
    target_score: float,
    higher_is_better: bool = True,
) -> float:
    """The number of labels at which a learning curve reaches a score.

    The curve is made monotone by isotonic regression (a learning curve that falls somewhere falls
    by chance), then read off by straight lines between score and the logarithm of the budget.
    Nothing is extrapolated.

    Args:
        budgets: Numbers of labels that were tried, each positive and given once; any order.
        scores: The baseline's score at each of them.
        target_score: The score to reach.
        higher_is_better: Whether more is better. Default: yes.

    Returns:
        The number of labels; the smallest budget if the baseline is already there, which is then
        an upper bound; `inf` if it never gets there within the budgets that were tried, which says
        only that more than the greatest budget are needed.

    Raises:
        DataError: If there is no budget, lengths differ, a budget is not positive or comes twice,
            or a score is not finite.
    """
    x, y = np.asarray(budgets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    _check(x, y, target_score)
    # Imported here: it takes a tenth of a second that no other part of the command line needs.
    from scipy.optimize import isotonic_regression

    order = np.argsort(x)
    sign = 1.0 if higher_is_better else -1.0
    budget, target = x[order], sign * target_score
    curve = isotonic_regression(sign * y[order]).x
    # Pooled means carry rounding; a score that equals its own curve must count as reached.
    target -= 1e-12 * max(1.0, abs(target))
    if curve[0] >= target:
        return float(budget[0])
    if curve[-1] < target:
        return inf
    after = int(np.argmax(curve >= target))
    share = (target - curve[after - 1]) / (curve[after] - curve[after - 1])
    low, high = np.log(budget[after - 1 : after + 1])
    return float(min(np.exp(low + share * (high - low)), budget[after]))


def _check(budgets: Array, scores: Array, target: float) -> None:
    problems = []
    if budgets.ndim != 1 or budgets.shape != scores.shape or not len(budgets):
        what = f"shapes {budgets.shape} and {scores.shape}"
        raise DataError(Problem("learning curve", what, "one score for each budget"))
    if not (np.isfinite(budgets).all() and (budgets > 0).all()):
        problems.append(Problem("budgets", f"{budgets.tolist()}", "positive numbers"))
    if len(np.unique(budgets)) != len(budgets):
        problems.append(Problem("budgets", f"{budgets.tolist()}", "each one once"))
    if not (np.isfinite(scores).all() and np.isfinite(target)):
        problems.append(Problem("scores", f"{scores.tolist()}, target {target}", "finite numbers"))
    if problems:
        raise DataError(problems)
