"""Tunings of several stages."""

from dataclasses import dataclass

from transfuse.models import Network
from transfuse.tuning.base import Group, Stage, Tuning, head_group, head_solvable, layer_names
from transfuse.tuning.frozen import Frozen
from transfuse.tuning.full import Full

__all__ = ["Gradual", "LpFt"]


@dataclass(frozen=True)
class LpFt(Tuning):
    """Linear probe, then full fine-tuning (LP-FT).

    The head is fitted first, so that the features are not distorted while it is still random
    (Kumar et al., 2022, arXiv:2202.10054).
    """

    learning_rate: float = 1e-4
    """Peak rate of the encoder in the second stage. Default: 1e-4."""

    head_learning_rate: float = 1e-4
    """Peak rate of the head in the second stage, where it is no longer new. Default: 1e-4."""

    probe_share: float = 0.2
    """Share of the steps for the probe, where it is not solved at once. Default: 0.2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.probe_share < 1:
            raise ValueError("probe_share lies between 0 and 1")

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """The probe, then all layers."""
        (probe,) = Frozen().stages(network)
        (full,) = Full(self.learning_rate, self.head_learning_rate).stages(network)
        return (
            Stage("probe", probe.groups, self.probe_share, solve=probe.solve),
            Stage("full", full.groups, 1 - self.probe_share),
        )


@dataclass(frozen=True)
class Gradual(Tuning):
    """Gradual unfreezing from the output down (ULMFiT; Howard and Ruder, 2018, arXiv:1801.06146).

    The head trains first, then one more block of layers at each stage, until all move.
    """

    learning_rate: float = 5e-5
    """Peak rate of the layers. Default: 5e-5."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    stages_count: int = 4
    """Number of stages, the head's own included. Default: 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stages_count < 2:
            raise ValueError("stages_count is at least 2")

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """The head alone, then ever more layers from the top."""
        layers = layer_names(network)
        head = head_group(network, self.head_learning_rate)
        steps = min(self.stages_count - 1, len(layers))
        share = 1 / (steps + 1)
        stages = [Stage("head", (head,), share, solve=head_solvable(network))]
        for step in range(1, steps + 1):
            count = round(len(layers) * step / steps)
            top = frozenset().union(*layers[-count:])
            groups = (Group(top, self.learning_rate), head)
            stages.append(Stage(f"top-{count}", groups, share))
        return tuple(stages)
