"""Answer as a teacher answers, with its doubts weighed apart from its certainty."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.objectives.answers import FromLogits
from transfuse.objectives.base import Step
from transfuse.objectives.domains import logits_of

__all__ = ["DKD", "decoupled"]


def decoupled(
    student: torch.Tensor, teacher: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two parts of the divergence between two models' probabilities, each [n].

    The whole divergence is the first part plus the second times the probability that the teacher
    gives to all other classes together.

    Args:
        student: Log-probabilities [n, classes].
        teacher: Log-probabilities [n, classes].
        targets: The class of each row [n].

    Returns:
        How far apart they are on the row's class against all others, and how far among the
        others; the latter is 0 with two classes, where there is only one other.
    """
    own_student, rest_student = _split(student, targets)
    own_teacher, rest_teacher = _split(teacher, targets)
    own = functional.kl_div(own_student, own_teacher, reduction="none", log_target=True)
    rest = functional.kl_div(rest_student, rest_teacher, reduction="none", log_target=True)
    return own.sum(-1), rest.sum(-1)


def _split(log_shares: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class against the others [n, 2], and the others among themselves [n, classes - 1]."""
    chosen = torch.zeros_like(log_shares, dtype=torch.bool).scatter(1, targets[:, None], True)
    own = log_shares[chosen][:, None]
    rest = log_shares[~chosen].view(len(log_shares), -1)
    return torch.cat([own, rest.logsumexp(1, keepdim=True)], 1), rest.log_softmax(1)


@dataclass(frozen=True)
class DKD(FromLogits):
    """The divergence from the teachers, its two parts weighed apart (decoupled distillation).

    Zhao, Cui, Song, Qiu and Liang (2022), 'Decoupled knowledge distillation' (arXiv:2203.08679).
    """

    alpha: float = 1.0
    """Weight of the row's class against all others. Default: 1."""

    beta: float = 8.0
    """Weight of the other classes among themselves. Default: 8."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.alpha < math.inf and 0 <= self.beta < math.inf):
            raise ValueError("alpha and beta are 0 or above")

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("dkd",)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """T² times the weighted parts; without labels the teachers' first choice is the class."""
        softened, counts = self.lesson(step)
        student = (logits_of(step, self.stream) / self.temperature).log_softmax(-1)
        targets = step.batches[self.stream].get("targets")
        own, rest = decoupled(
            student, softened, softened.argmax(-1) if targets is None else targets
        )
        losses = self.alpha * own + self.beta * rest
        return {"dkd": self.temperature**2 * (losses * counts).sum()}
