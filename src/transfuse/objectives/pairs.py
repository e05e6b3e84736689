"""Contrastive tuning: rows of a class together, rows of different classes apart."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from transfuse.data import Episodes
from transfuse.models import Batch, Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.closing import Closing, check_classes, close_head
from transfuse.objectives.supcon import supervised_contrast

__all__ = ["Pairs"]


@dataclass(frozen=True)
class Pairs(Objective):
    """Contrast of all pairs within class-balanced batches, and then a head on what came of it.

    The idea of SetFit (Tunstall et al., 2022, 'Efficient few-shot learning without prompts',
    arXiv:2209.11055) without its list of pairs, which grows with the square of the rows: a batch
    encodes each row once and contrasts it with all others of the batch. The loss `contrastive` is
    that of Khosla et al. (2020, arXiv:2004.11362); `cosine` is SetFit's regression of cosines on
    0 and 1; `multi_similarity` is that of Wang et al. (2019, arXiv:1904.06627) over all pairs.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    loss: Literal["contrastive", "cosine", "multi_similarity"] = "contrastive"
    """How pairs are scored. Default: contrastive."""

    temperature: float = 0.1
    """What cosines are divided by in the contrastive loss. Default: 0.1."""

    ways: int = 16
    """Classes in a batch; fewer where there are fewer. Default: 16."""

    shots: int = 4
    """Rows of each class in a batch; fewer where there are fewer. Default: 4."""

    head: Closing = "logistic"
    """What becomes of the head at the end: a `logistic` regression on the final features, class
    means (`centroid`), or as other objectives `trained` it. Default: logistic."""

    penalty: float | None = None
    """L2 penalty of the logistic regression, relative to the features' mean square. Default:
    chosen by cross-validation on the rows that were learnt from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise ValueError("temperature is a number above 0")
        if self.penalty is not None and not 0 < self.penalty < math.inf:
            raise ValueError("penalty is a number above 0")
        Episodes(self.ways, self.shots, 0)

    @property
    def streams(self) -> tuple[str, ...]:
        """Class-balanced batches of the target."""
        return ("target/episodes",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("pairs",)

    @property
    def episodes(self) -> Episodes:
        """As the options say; nothing is asked apart."""
        return Episodes(self.ways, self.shots, 0)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the head."""
        linear = self.head != "trained"
        check_classes("pairs", network, facts["target"], linear=linear)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean loss over the rows of a batch."""
        (name,) = self.streams
        outputs, targets = step.outputs[name], step.batches[name]["targets"]
        features = functional.normalize(outputs.features.float(), dim=1)
        with torch.autocast(features.device.type, enabled=False):
            loss = self._loss(features, targets)
        # Over a frozen encoder the features have no graph; the head's takes its place.
        return {"pairs": loss + (0 * outputs.logits[step.tasks[name].head].float()).sum()}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Fit the head on the directions of all rows, which is all that the losses shape."""
        close_head(
            network, "target", batches["target"], self.head, cosine=True, penalty=self.penalty
        )

    def _loss(self, directions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        cosines = directions @ directions.T
        itself = torch.eye(len(targets), dtype=torch.bool, device=targets.device)
        same = (targets[:, None] == targets) & ~itself
        other = targets[:, None] != targets
        match self.loss:
            case "contrastive":
                return supervised_contrast(directions, targets, self.temperature)
            case "cosine":
                return _regression(cosines, same, other)
            case "multi_similarity":
                return _multi_similarity(cosines, same, other)


def _regression(cosines: torch.Tensor, same: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Squared errors of cosines that should be 1 or 0; both kinds of pairs count alike."""
    near = ((1 - cosines).square() * same).sum() / same.sum().clamp(min=1)
    far = (cosines.square() * other).sum() / other.sum().clamp(min=1)
    return (near + far) / 2


def _multi_similarity(
    cosines: torch.Tensor, same: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """With the weights 2 and 50 of near and far pairs; the threshold is a cosine of 0.5."""
    near = _soft_count(-2 * (cosines - 0.5), same) / 2
    far = _soft_count(50 * (cosines - 0.5), other) / 50
    return (near + far).mean()


def _soft_count(exponents: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """log(1 + sum of exp) over the chosen entries of each row [n]."""
    zero = torch.zeros_like(exponents[:, :1])
    return torch.cat([zero, exponents.masked_fill(~chosen, -torch.inf)], 1).logsumexp(1)
