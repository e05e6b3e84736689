"""Lay out the rows of a batch as a teacher lays them out."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.objectives.answers import Rows
from transfuse.objectives.base import Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, nothing

__all__ = ["RKD", "angles", "relative_distances"]


def relative_distances(vectors: torch.Tensor) -> torch.Tensor:
    """Distances of all pairs of rows over their mean, [n, n]; the mean leaves out the diagonal.

    Args:
        vectors: Rows [n, d] with n of at least 2, 32 bits.
    """
    squares = (vectors[:, None] - vectors).square().sum(-1)
    # The root has no slope at 0, where rows meet themselves.
    distances = squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
    pairs = len(vectors) * (len(vectors) - 1)
    return distances / (distances.sum() / pairs).clamp_min(torch.finfo(squares.dtype).eps)


def angles(vectors: torch.Tensor) -> torch.Tensor:
    """Cosines of the angles at row i between rows j and k, [i, j, k]; 0 where two are one.

    Args:
        vectors: Rows [n, d], 32 bits.
    """
    ways = functional.normalize(vectors[None] - vectors[:, None], dim=-1)
    return ways @ ways.transpose(1, 2)


@dataclass(frozen=True)
class RKD(Objective):
    """Distances and angles between the rows of a batch, as the teacher has them.

    Park, Kim, Lu and Cho (2019), 'Relational knowledge distillation' (arXiv:1904.05068).
    """

    teacher: str
    """A model folder, or the name of any encoder; its vectors may have any length."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "target"
    """The rows to learn on: `target`, `unlabelled` or `source`. Default: target."""

    distance: float = 1.0
    """What the distances of pairs count. Default: 1."""

    angle: float = 2.0
    """What the angles of triples count. Default: 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.distance < math.inf and 0 <= self.angle < math.inf):
            raise ValueError("distance and angle are 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to learn on."""
        return (self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("rkd",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The teacher's pooled vectors."""
        return (Question(self.stream, self.teacher, "features"),)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Huber losses of relative distances and of cosines; 0 with fewer than two rows."""
        student = features_of(step, self.stream)
        if len(student) < 2:
            return {"rkd": nothing(student)}
        teacher = step.batches[self.stream][self.questions[0].name].float()
        with full_precision(student):
            apart = functional.smooth_l1_loss(
                relative_distances(student), relative_distances(teacher)
            )
            bent = functional.smooth_l1_loss(angles(student), angles(teacher))
        return {"rkd": self.distance * apart + self.angle * bent}
