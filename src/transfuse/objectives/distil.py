"""Answer as a teacher answers."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.objectives.answers import FromLogits
from transfuse.objectives.base import Ramp, Step
from transfuse.objectives.domains import logits_of

__all__ = ["Distil"]


@dataclass(frozen=True)
class Distil(FromLogits):
    """Divergence of the student's softened probabilities from those of one or several teachers.

    Hinton, Vinyals and Dean (2015), 'Distilling the knowledge in a neural network'
    (arXiv:1503.02531).
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The divergence."""
        return ("distil",)

    @property
    def convex(self) -> bool:
        """The teacher's probabilities are fixed, so it is a cross-entropy and a constant."""
        return not isinstance(self.weight, Ramp)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """T² times the divergence: a sum over the classes, a mean over the rows."""
        softened, counts = self.lesson(step)
        student = (logits_of(step, self.stream) / self.temperature).log_softmax(-1)
        apart = functional.kl_div(student, softened, reduction="none", log_target=True).sum(-1)
        # Softened gradients shrink with 1/T²; the factor keeps the balance with other losses.
        return {"distil": self.temperature**2 * (apart * counts).sum()}
