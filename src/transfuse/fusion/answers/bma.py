"""Weights by how likely each member makes the validation labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, WeightedMean
from transfuse.data import seed_for
from transfuse.fusion.answers.base import AnswerFusion, Gathered

__all__ = ["Bma"]

_COLLAPSED = 0.99


@dataclass(frozen=True)
class Bma(AnswerFusion):
    """Bayesian model averaging: weights are the probability of each member being the one true.

    They are taken over resampled rows (pseudo-BMA+; Yao et al., 2018, arXiv:1704.02030), so that a
    lead that chance explains does not decide. It selects rather than combines: with more rows the
    best member takes all, also where a mixture would be better (Minka, 2000); `learned` finds the
    mixture.
    """

    rows: float | None = None
    """The number of rows that the evidence counts as; less flattens the weights. Default: the
    groups (documents) that the validation rows belong to, or the rows where there are none."""

    draws: int = 1000
    """Resamples of the rows that the weights are averaged over. Default: 1,000."""

    kinds: ClassVar[tuple[str, ...]] = ("classification", "multilabel")

    def __post_init__(self) -> None:
        if self.rows is not None and not (np.isfinite(self.rows) and self.rows >= 0):
            raise ValueError("rows is a number of at least 0")
        if self.draws < 1:
            raise ValueError("draws is at least 1")

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        logs = np.log(gathered.truths())
        # Of several labels a row has several truths, which are no evidence of their own.
        logs = logs.reshape(gathered.rows, -1, logs.shape[1]).sum(axis=1)
        _, units = np.unique(
            np.arange(gathered.rows) if gathered.groups is None else _text(gathered.groups),
            return_inverse=True,
        )
        count = int(units.max()) + 1
        rows = float(count) if self.rows is None else self.rows
        rng = np.random.default_rng(seed_for(seed, "answers", "bma"))
        weights = np.zeros(logs.shape[1])
        for _ in range(self.draws):
            # The Bayesian bootstrap: documents are weighed by a draw from the flat Dirichlet.
            drawn = rng.standard_exponential(count)[units]
            evidence = rows * (drawn @ logs) / drawn.sum()
            shares = np.exp(evidence - evidence.max())
            weights += shares / shares.sum() / self.draws
        used = weights[weights > 0]
        return WeightedMean(weights / weights.sum()), {
            "effective_rows": rows,
            "effective_members": float(np.exp(-(used * np.log(used)).sum())),
            "collapsed": bool(weights.max() > _COLLAPSED),
            "log_likelihood": logs.sum(axis=0).tolist(),
        }


def _text(groups: Any) -> list[str]:
    """Groups as text: names and numbers may be mixed, which cannot be sorted."""
    return [f"{type(group).__name__} {group}" for group in groups]
