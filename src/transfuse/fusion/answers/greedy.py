"""Members picked one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, WeightedMean
from transfuse.data import seed_for
from transfuse.evaluation import METRICS, Metric
from transfuse.fusion.answers.base import AnswerFusion, Gathered, metric_of

__all__ = ["Greedy"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Greedy(AnswerFusion):
    """Ensemble selection: add the member that helps the score most, again and again.

    A member may be picked more than once; its weight is its share of the picks. The best ensemble
    on the way is kept, so that it scores no worse on the validation rows than the best member
    (Caruana et al., 2004, "Ensemble selection from libraries of models").
    """

    metric: str | None = None
    """What is made as good as possible on the validation rows; ties go to the lower loss. Default:
    the task's own, such as accuracy."""

    rounds: int = 25
    """Picks. Default: 25."""

    bags: int = 0
    """So many times it selects on rows drawn with replacement, and the weights are averaged, which
    fits noise less; the best member may then be better on the validation rows. Default: 0, once on
    the rows as they are."""

    def __post_init__(self) -> None:
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(f"metric is one of {', '.join(METRICS)}")
        if self.rounds < 1:
            raise ValueError("rounds is at least 1")
        if self.bags < 0:
            raise ValueError("bags is at least 0")

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        metric = metric_of(gathered, self.metric, "greedy.metric")
        if not self.bags:
            picks = self._select(gathered, metric, np.arange(gathered.rows))
            told = {"selected_by": metric.name, "picks": picks.tolist()}
            return WeightedMean(picks / picks.sum()), told
        rng = np.random.default_rng(seed_for(seed, "answers", "greedy"))
        weights = np.zeros(len(gathered.names))
        for bag in range(self.bags):
            tell("bags", bag, self.bags)
            rows = rng.integers(gathered.rows, size=gathered.rows)
            picks = self._select(gathered, metric, rows)
            weights += picks / picks.sum() / self.bags
        return WeightedMean(weights), {"selected_by": metric.name}

    def _select(
        self, gathered: Gathered, metric: Metric, rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How often each member is picked, [members]."""
        sampled = gathered.at(rows)
        answers, targets = sampled.answers, sampled.targets
        sign = 1 if metric.higher_is_better else -1
        picks = np.zeros(len(answers), np.int64)
        total = np.zeros(answers.shape[1:])
        best, found = (-np.inf, -np.inf), picks
        for count in range(1, self.rounds + 1):
            tries = []
            for answer in answers:
                mixed = (total + answer) / count
                # Rounded, since the order of a sum alone must not decide between equal members.
                score = round(sign * metric(mixed, targets), 12)
                tries.append((score, round(-sampled.loss(mixed), 12)))
            pick = max(range(len(tries)), key=tries.__getitem__)
            picks = picks.copy()
            picks[pick] += 1
            total = total + answers[pick]
            if tries[pick] > best:
                best, found = tries[pick], picks
        return found
