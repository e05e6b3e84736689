"""The losses on labelled rows: the target's, and the source's beside it.

Together they are joint learning, L = L_target + lambda * L_source.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from transfuse.objectives.base import Objective, Ramp, Step

__all__ = ["Source", "Target"]


@dataclass(frozen=True)
class _Labelled(Objective):
    """The task's loss on one labelled stream."""

    weight: float | Ramp = 1.0
    """Weight of the loss: a number, or {start, end, shape} to move it in training. Default: 1."""

    smoothing: float = 0.0
    """Label smoothing, 0 to 1 (Szegedy et al., 2016, arXiv:1512.00567). Default: 0."""

    gamma: float = 0.0
    """Exponent of the focal loss (Lin et al., 2017, arXiv:1708.02002). Default: 0, which is the
    plain loss."""

    augmented: bool = False
    """Whether the texts are varied as `augment` in the recipe says. Default: false."""

    stream: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smoothing < 1:
            raise ValueError("smoothing lies in [0, 1)")
        if not 0 <= self.gamma < math.inf:
            raise ValueError("gamma is 0 or above")
        if not 0 < self.share < math.inf:
            raise ValueError("share is a number above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The one labelled stream, or the view of it with varied texts."""
        return (f"{self.stream}/augmented" if self.augmented else self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss, named after its stream."""
        return (self.stream,)

    @property
    def convex(self) -> bool:
        """Cross-entropy and squared error are; the focal loss is not."""
        return self.gamma == 0 and not self.augmented and not isinstance(self.weight, Ramp)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The task's loss, under the stream's name."""
        (stream,) = self.streams
        known = step.tasks[stream]
        loss = known.task.loss(
            step.outputs[stream].logits[known.head],
            step.batches[stream]["targets"],
            smoothing=self.smoothing,
            gamma=self.gamma,
            weights=known.weights,
            row_weights=step.batches[stream].get("weights"),
        )
        return {self.stream: loss}


@dataclass(frozen=True)
class Target(_Labelled):
    """The task's loss on labelled rows of the target."""

    stream = "target"


@dataclass(frozen=True)
class Source(_Labelled):
    """The task's loss on labelled rows of the source.

    Where source and target have the same labels they share one head; otherwise the source has a
    head of its own and only the encoder is shared.
    """

    share: float = 1.0
    """Source rows in a batch for each target row; less costs less time. Default: 1."""

    stream = "source"
