"""Features from which a judge cannot tell the domain."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.adversarial import Discriminator, domain_loss, ramp, reverse
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, input_dim, shared_task

__all__ = ["DANN"]


@dataclass(frozen=True)
class DANN(Objective):
    """A judge learns to tell source from target; the encoder learns to mislead it (DANN).

    Ganin et al. (2016), 'Domain-adversarial training of neural networks' (arXiv:1505.07818).
    """

    weight: float | Ramp = 1.0
    """Weight of the judge's loss, for the judge and the encoder alike. Default: 1."""

    gamma: float = 10.0
    """The encoder's part grows as 2 / (1 + exp(-gamma p)) - 1 with the share p of training done;
    larger is sooner. Default: 10."""

    hidden: int = 256
    """Width of the judge's two hidden layers. Default: 256."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma > 0 or self.hidden < 1:
            raise ValueError("gamma and hidden are above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The judge's loss."""
        return ("dann",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The judge."""
        known = shared_task("dann", facts)
        return Discriminator(input_dim(network, known.head), self.hidden)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The judge's loss; what it sends back to the features is reversed."""
        assert isinstance(module, Discriminator)
        source, target = features_of(step, "source"), features_of(step, "unlabelled")
        strength = ramp(step.progress, self.gamma)
        with full_precision(source):
            judged = [module(reverse(features, strength)) for features in (source, target)]
            return {"dann": domain_loss(*judged)}
