"""A mean in which better members count more."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, WeightedMean
from transfuse.errors import DataError, Problem
from transfuse.evaluation import METRICS
from transfuse.fusion.answers.base import AnswerFusion, Gathered, metric_of

__all__ = ["ByScore"]


@dataclass(frozen=True)
class ByScore(AnswerFusion):
    """The mean of the answers, weighted by the members' validation scores.

    It never looks at how members' mistakes go together, so that it cannot fit noise as `learned`
    can, nor see that two members are the same.
    """

    how: Literal["softmax", "proportional"] = "softmax"
    """`softmax`: exp(score / temperature); `proportional`: the score itself, or one over it where
    less is better. Default: softmax."""

    temperature: float = 0.05
    """With `softmax`, the difference in score that makes a member count e = 2.7 times as much;
    small picks the best member, large is the plain mean. Default: 0.05, five points of accuracy,
    about as much as the score of a few hundred rows moves by chance."""

    metric: str | None = None
    """The score. Default: the task's own, such as accuracy."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError("temperature is a number above 0")
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(f"metric is one of {', '.join(METRICS)}")

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        metric = metric_of(gathered, self.metric, "by_score.metric")
        scores = np.array([metric(answer, gathered.targets) for answer in gathered.answers])
        better = scores if metric.higher_is_better else -scores
        if self.how == "softmax":
            weights = np.exp((better - better.max()) / self.temperature)
        elif metric.higher_is_better:
            weights = np.maximum(scores, 0)
        else:
            # A member without any error would count infinitely; its nearest rivals then nothing.
            weights = 1 / np.maximum(scores, 1e-9)
        if not weights.sum() > 0:
            raise DataError(
                Problem(
                    "by_score",
                    f"no member has a {metric.name} above 0 on the validation rows",
                    "a score to be proportional to",
                    "Use `how: softmax`.",
                )
            )
        return WeightedMean(weights / weights.sum()), {"weighed_by": metric.name}
