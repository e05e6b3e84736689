"""Only the biases move."""

from dataclasses import dataclass

from transfuse.models import Network
from transfuse.tuning.base import Group, Stage, Tuning, head_group, layer_names

__all__ = ["BitFit"]


@dataclass(frozen=True)
class BitFit(Tuning):
    """The encoder's biases and the head move, all else is frozen.

    Ben Zaken, Ravfogel and Goldberg (2022, arXiv:2106.10199).
    """

    learning_rate: float = 1e-3
    """Peak rate of the biases. Default: 1e-3."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage; an encoder without biases trains its head alone."""
        biases = frozenset(
            name
            for layer in layer_names(network)
            for name in layer
            if name.rsplit(".", 1)[-1] == "bias"
        )
        head = head_group(network, self.head_learning_rate)
        groups = (Group(biases, self.learning_rate), head) if biases else (head,)
        return (Stage("bitfit", groups),)
