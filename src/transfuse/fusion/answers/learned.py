"""The weights that are best on validation rows."""

from dataclasses import dataclass
from typing import Any

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, WeightedMean
from transfuse.fusion.answers.base import AnswerFusion, Gathered
from transfuse.fusion.answers.simplex import least_log_loss, least_squares

__all__ = ["Learned"]


@dataclass(frozen=True)
class Learned(AnswerFusion):
    """The weighted mean whose weights have the least validation loss: a convex problem.

    Weights are not negative and sum to 1. The loss is the log-loss of the mixture, for several
    labels that of each, for numbers the squared error (Breiman, 1996, Machine Learning 24; for
    densities Yao et al., 2018, arXiv:1704.02030). It is solved to within 1e-6 of the least there
    is. Members that get no weight are left out.
    """

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        if gathered.task.kind == "regression":
            weights, gap = least_squares(gathered.answers[:, :, 0].T, gathered.targets)
        else:
            weights, gap = least_log_loss(gathered.truths())
        rule = WeightedMean(weights)
        mixed = rule.combine(gathered.task.kind, gathered.answers)
        return rule, {
            "loss": gathered.loss(mixed),
            "members_loss": [gathered.loss(answer) for answer in gathered.answers],
            "gap": gap,
        }
