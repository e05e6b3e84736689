"""All layers, the top layers, or all layers from scratch."""

from dataclasses import dataclass

from transfuse.data import seed_for
from transfuse.models import Encoder, Head, Network
from transfuse.tuning.base import Group, Stage, Tuning, head_group, layer_names

__all__ = ["Full", "Scratch", "Top"]


@dataclass(frozen=True)
class Full(Tuning):
    """Full fine-tuning: every weight moves (Howard and Ruder, 2018, arXiv:1801.06146)."""

    learning_rate: float = 1e-4
    """Peak rate of the encoder. Default: 1e-4."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head, which starts from nothing. Default: 1e-3."""

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage."""
        encoder = frozenset().union(*layer_names(network))
        return (
            Stage(
                "full",
                (
                    Group(encoder, self.learning_rate),
                    head_group(network, self.head_learning_rate),
                ),
            ),
        )


@dataclass(frozen=True)
class Scratch(Tuning):
    """The same network without its source knowledge: fresh weights, every weight moves.

    The baseline that a transfer gain is measured against.
    """

    learning_rate: float = 3e-4
    """Peak rate of all weights. Default: 3e-4."""

    def prepare(self, network: Network, seed: int) -> None:
        """Give every encoder and every head fresh weights.

        A head that came with the source model knows the source too.
        """
        for encoder in network.encoders.values():
            assert isinstance(encoder, Encoder)
            encoder.reset(seed)
        for name, head in network.heads.items():
            assert isinstance(head, Head)
            head.reset(seed_for(seed, "head", name))

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage."""
        return Full(self.learning_rate, self.learning_rate).stages(network)


@dataclass(frozen=True)
class Top(Tuning):
    """Partial fine-tuning: the top layers move, those below are frozen.

    What is frozen runs once, without dropout, and its output is kept (Yosinski et al., 2014,
    arXiv:1411.1792, on which layers transfer).
    """

    layers: int = 2
    """How many layers from the output train. Default: 2."""

    learning_rate: float = 1e-4
    """Peak rate of the top layers. Default: 1e-4."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise ValueError("layers is at least 1; use `frozen` to train the head alone")

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage."""
        top = frozenset().union(*layer_names(network)[-self.layers :])
        return (
            Stage(
                "top",
                (Group(top, self.learning_rate), head_group(network, self.head_learning_rate)),
            ),
        )
