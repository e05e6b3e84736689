"""Stay near the source: the squared distance to the weights that training began with."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step

__all__ = ["L2SP"]


class _Start(nn.Module):
    """The encoder's weights as they were, kept as buffers so that they move and resume too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.names = [name for name, _ in network.encoders.named_parameters()]
        for index, (_, parameter) in enumerate(network.encoders.named_parameters()):
            self.register_buffer(f"start_{index}", parameter.detach().clone())


@dataclass(frozen=True)
class L2SP(Objective):
    """Squared distance of the encoder's trained weights to their start (L2-SP).

    Half the sum of squares, as in Li, Grandvalet and Davoine (2018), 'Explicit inductive bias for
    transfer learning with convolutional networks' (arXiv:1802.01483). Frozen weights have not
    moved and cost nothing; the head has no source to stay near and is left out.
    """

    weight: float | Ramp = 0.01
    """Weight of the distance. Default: 0.01."""

    @property
    def streams(self) -> tuple[str, ...]:
        """None: the loss reads the weights alone."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("l2_sp",)

    @property
    def convex(self) -> bool:
        """Over a frozen encoder the distance is constant, 0."""
        return True

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """A copy of the weights that training starts from."""
        return _Start(network)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Half the squared distance over all trained weights of the encoders."""
        assert isinstance(module, _Start)
        now = dict(step.network.encoders.named_parameters())
        distances = [
            (now[name] - module.get_buffer(f"start_{index}")).square().sum()
            for index, name in enumerate(module.names)
            if name in now and now[name].requires_grad
        ]
        if not distances:
            return {"l2_sp": torch.zeros(())}
        return {"l2_sp": torch.stack(distances).sum() / 2}
