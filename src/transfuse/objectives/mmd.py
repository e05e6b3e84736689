"""Give source and target the same distribution of features, as kernels see it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, nothing, shared_task
from transfuse.objectives.kernels import mean_discrepancy

__all__ = ["MMD"]


@dataclass(frozen=True)
class MMD(Objective):
    """Kernel distance between the features of source and target (multi-kernel MMD, DAN).

    Long, Cao, Wang and Jordan (2015), 'Learning transferable features with deep adaptation
    networks' (arXiv:1502.02791), with kernels of equal weight on the last features, and the
    unbiased estimate of Gretton et al. (2012), 'A kernel two-sample test', JMLR 13.
    """

    weight: float | Ramp = 1.0
    """Weight of the distance. Default: 1."""

    scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Widths of the kernels, in units of the batch's median squared distance.
    Default: [0.25, 0.5, 1, 2, 4]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError("scales are one or more numbers above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """Both domains."""
        return ("source", "unlabelled")

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("mmd",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that there is one head."""
        shared_task("mmd", facts)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The estimate from the batches; 0 where one of them has a single row."""
        source, target = features_of(step, "source"), features_of(step, "unlabelled")
        if min(len(source), len(target)) < 2:
            return {"mmd": nothing(source, target)}
        with full_precision(source):
            return {"mmd": mean_discrepancy(source, target, self.scales)}
