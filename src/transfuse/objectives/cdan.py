"""Features and predictions from which, together, a judge cannot tell the domain."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.adversarial import Discriminator, domain_loss, ramp, reverse
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import (
    discrete_task,
    entropies,
    features_of,
    full_precision,
    input_dim,
    logits_of,
)

__all__ = ["CDAN", "ConditionalJudge"]

_LONGEST = 4096
"""Longer products of features and predictions are projected, as in the paper."""


class ConditionalJudge(nn.Module):
    """Judges the product of a row's features and its predicted probabilities.

    Args:
        dim: Length of the features.
        classes: Number of classes.
        projection: Length of the random projection of longer products.
        hidden: Width of the judge's hidden layers.
    """

    def __init__(self, dim: int, classes: int, projection: int, hidden: int) -> None:
        super().__init__()
        self.projected = dim * classes > _LONGEST
        if self.projected:
            self.register_buffer("of_features", torch.randn(dim, projection))
            self.register_buffer("of_shares", torch.randn(classes, projection))
        self.judge = Discriminator(projection if self.projected else dim * classes, hidden)

    def product(self, features: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """The multilinear map: every feature times every probability, or its projection.

        Args:
            features: Vectors [n, dim].
            shares: Probabilities [n, classes].

        Returns:
            Vectors [n, dim * classes], or [n, projection].
        """
        if not self.projected:
            return (features[:, :, None] * shares[:, None, :]).flatten(1)
        turned = features @ self.get_buffer("of_features")
        weighed = shares @ self.get_buffer("of_shares")
        return turned * weighed / math.sqrt(turned.shape[1])

    def forward(self, features: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Logits of being of the source, [n]."""
        logits: torch.Tensor = self.judge(self.product(features, shares))
        return logits


@dataclass(frozen=True)
class CDAN(Objective):
    """A judge of domains that sees features together with predictions (CDAN).

    Long, Cao, Wang and Jordan (2018), 'Conditional adversarial domain adaptation'
    (arXiv:1705.10667).
    """

    weight: float | Ramp = 1.0
    """Weight of the judge's loss, for the judge and the encoder alike. Default: 1."""

    entropy: bool = True
    """Whether rows that are predicted with certainty weigh more, by 1 + exp(-entropy), which the
    paper calls CDAN+E. Default: true."""

    gamma: float = 10.0
    """The encoder's part grows as 2 / (1 + exp(-gamma p)) - 1 with the share p of training done;
    larger is sooner. Default: 10."""

    hidden: int = 256
    """Width of the judge's two hidden layers. Default: 256."""

    projection: int = 1024
    """Length of a random projection, used where features times classes exceed 4,096.
    Default: 1,024."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma > 0 or self.hidden < 1 or self.projection < 1:
            raise ValueError("gamma, hidden and projection are above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The judge's loss."""
        return ("cdan",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The judge, and its random projection where one is needed."""
        known = discrete_task("cdan", facts)
        dim = input_dim(network, known.head)
        return ConditionalJudge(dim, known.task.outputs, self.projection, self.hidden)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The judge's loss; what it sends back to the features is reversed."""
        assert isinstance(module, ConditionalJudge)
        strength = ramp(step.progress, self.gamma)
        judged, weights = [], []
        for stream in ("source", "unlabelled"):
            features = reverse(features_of(step, stream), strength)
            # Predictions condition the game and do not play in it.
            log_shares = logits_of(step, stream).detach().log_softmax(-1)
            with full_precision(features):
                judged.append(module(features, log_shares.exp()))
            weights.append(1 + torch.exp(-entropies(log_shares)) if self.entropy else None)
        return {"cdan": domain_loss(*judged, *weights)}
