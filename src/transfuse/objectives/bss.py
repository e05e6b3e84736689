"""Suppress the directions in which the features of a batch hardly spread."""

from dataclasses import dataclass

import torch
from torch import nn

from transfuse.objectives.base import Objective, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision

__all__ = ["BSS"]


@dataclass(frozen=True)
class BSS(Objective):
    """Squares of the smallest singular values of a batch of features (batch spectral shrinkage).

    Chen et al. (2019), 'Catastrophic forgetting meets negative transfer: batch spectral shrinkage
    for safe transfer learning', NeurIPS 32.
    """

    weight: float | Ramp = 0.001
    """Weight of the sum. Default: 0.001."""

    k: int = 1
    """How many of the smallest singular values. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise ValueError("k is at least 1")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The sum of squares."""
        return ("bss",)

    @property
    def convex(self) -> bool:
        """Over a frozen encoder the features are constant."""
        return True

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The sum over the k smallest; all of them where a batch has fewer."""
        features = features_of(step, "target")
        if not features.isfinite().all():
            # The decomposition would stop the run without a word of which loss it was.
            return {"bss": features.sum()}
        with full_precision(features):
            # In falling order. Values alone: the slope of singular vectors explodes where two
            # values meet, that of the values does not.
            spread = torch.linalg.svdvals(features)
        return {"bss": spread[-self.k :].square().sum()}
