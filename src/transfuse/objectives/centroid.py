"""The nearest class mean: a classifier without training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from transfuse.models import Batch, Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.closing import check_classes, close_head

__all__ = ["Centroid"]


@dataclass(frozen=True)
class Centroid(Objective):
    """The head becomes the nearest class mean of the target's rows; nothing is trained for it.

    Mensink et al. (2013), 'Distance-based image classification: generalizing to new classes at
    near-zero cost'; the form that prototypical networks (Snell, Swersky and Zemel, 2017,
    arXiv:1703.05175) take when training ends. The head is set after the last step, from the
    features as they are then.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss, which is always 0; there for the sake of uniformity. Default: 1."""

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """What is near: a small distance, or a small angle. Default: euclidean."""

    scale: float | None = None
    """Factor of the logits; it makes probabilities more or less sure and changes no decision.
    Default: the one that makes each row likeliest under the means of the others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None and not self.scale > 0:
            raise ValueError("scale is above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The loss that is 0."""
        return ("centroid",)

    @property
    def convex(self) -> bool:
        """Zero is, so a frozen probe is solved at once."""
        return True

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the head."""
        check_classes("centroid", network, facts["target"], linear=True)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Zero, with the graph of the logits."""
        logits = step.outputs["target"].logits[step.tasks["target"].head]
        return {"centroid": (0 * logits.float()).sum()}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Set the head to the class means of all rows."""
        close_head(
            network,
            "target",
            batches["target"],
            "centroid",
            cosine=self.distance == "cosine",
            scale=self.scale,
        )
