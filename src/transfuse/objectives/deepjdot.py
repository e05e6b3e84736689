"""Move target rows onto source rows at the least cost in features and labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import discrete_task, features_of, full_precision, logits_of
from transfuse.objectives.kernels import squared_distances

__all__ = ["DeepJDOT", "transport_plan"]


def transport_plan(cost: torch.Tensor) -> torch.Tensor:
    """The cheapest plan that moves equal masses, exactly, [n, m].

    Args:
        cost: Cost of moving between each row and each column, [n, m].

    Returns:
        The masses: rows sum to 1 / n, columns to 1 / m. Without gradient.
    """
    # Costs a second to import, which a command that trains nothing need not pay.
    import ot

    n, m = cost.shape
    plan = ot.emd(ot.unif(n), ot.unif(m), cost.detach().double().cpu().numpy())
    return torch.from_numpy(plan).to(cost)


@dataclass(frozen=True)
class DeepJDOT(Objective):
    """Cost of the optimal transport between source and target in features and labels (DeepJDOT).

    Damodaran, Kellenberger, Flamary, Tuia and Courty (2018), 'DeepJDOT: deep joint distribution
    optimal transport for unsupervised domain adaptation' (arXiv:1803.10081).
    """

    weight: float | Ramp = 1.0
    """Weight of the cost. Default: 1."""

    distance: float = 0.01
    """What a unit of squared distance between features costs. Default: 0.01."""

    labels: float = 0.1
    """What a unit of cross-entropy costs, between the source's label and the prediction for the
    target's row. Default: 0.1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance < 0 or self.labels < 0 or self.distance + self.labels == 0:
            raise ValueError("distance and labels are 0 or above, and one of them is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The cost."""
        return ("deepjdot",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there are classes and one head."""
        discrete_task("deepjdot", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The cost of the batches' best plan, with the plan held fixed."""
        source, target = features_of(step, "source"), features_of(step, "unlabelled")
        with full_precision(source):
            distances = squared_distances(source, target)
        log_shares = logits_of(step, "unlabelled").log_softmax(-1)
        surprise = -log_shares.T[step.batches["source"]["targets"]]
        cost = self.distance * distances + self.labels * surprise
        return {"deepjdot": (transport_plan(cost) * cost).sum()}
