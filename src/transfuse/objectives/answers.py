"""How objectives read what teachers have answered, and token vectors beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step, StreamTask

__all__ = ["FromLogits", "Rows", "class_task", "mixed_log_shares", "token_mean", "tokens_of"]

Rows = Literal["target", "unlabelled", "source"]
"""The rows that a student can learn a teacher's answers on."""


def class_task(method: str, facts: Mapping[str, Facts], stream: str) -> StreamTask:
    """The task of a stream, for a method whose mathematics needs classes.

    Args:
        method: The objective's name in recipes.
        facts: What is known of each stream.
        stream: The stream.

    Raises:
        RecipeError: If the task is not a classification.
    """
    known = facts[stream].task
    assert known is not None, "every stream of an objective has a task"
    if known.task.kind != "classification":
        raise RecipeError(
            Problem(
                "learn",
                f"{method} needs classes, the task is {known.task.kind}",
                "classification",
                "hidden, relations, rkd and embed read no classes.",
            )
        )
    return known


def mixed_log_shares(logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """The logarithm of the weighted mean of several models' probabilities, [n, classes].

    Args:
        logits: Logits of each model [models, n, classes], 32 bits.
        shares: What each model counts [models]; they sum to 1.
    """
    return (logits.log_softmax(-1) + shares.log()[:, None, None]).logsumexp(0)


def tokens_of(step: Step, stream: str) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The student's final token vectors, 32 bits [n, T, d], and which are real, bool [n, T].

    Args:
        step: The step.
        stream: The stream.

    Returns:
        None over a frozen encoder whose pooled vectors alone were kept: no token can move.

    Raises:
        RecipeError: If the network makes no token vectors at all.
    """
    encoded = step.outputs[stream].encoded
    if encoded.tokens is not None and encoded.mask is not None:
        return encoded.tokens.float(), encoded.mask.bool()
    if "pooled" in step.batches[stream]:
        return None
    raise RecipeError(
        Problem(
            "learn",
            "this network gives no vector for each token",
            "token vectors, to compare token by token",
            "Compare pooled vectors instead.",
        )
    )


def token_mean(losses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over all real tokens of a batch; padding has no influence.

    Args:
        losses: One loss a token [n, T].
        mask: Which tokens are real, bool [n, T].
    """
    return losses.masked_fill(~mask, 0).sum() / mask.sum()


@dataclass(frozen=True)
class FromLogits(Objective):
    """What all objectives on a teacher's logits have in common."""

    teacher: str | tuple[str, ...]
    """A model folder with the student's labels, or a list of several."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "target"
    """The rows to learn on: `target`, `unlabelled` or `source`. Default: target."""

    temperature: float = 2.0
    """Divides the logits of teacher and student; the loss is multiplied by its square. Default:
    2."""

    shares: tuple[float, ...] | None = None
    """What each teacher counts in the mean of their probabilities. Default: all the same."""

    min_confidence: float = 0.0
    """Rows whose most probable class has less than this from the teachers count as 0. Default: 0,
    which keeps all rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teachers or len(set(self.teachers)) < len(self.teachers):
            raise ValueError("teacher is one name, or several different ones")
        if self.shares is not None and (
            len(self.shares) != len(self.teachers) or not min(self.shares) > 0
        ):
            raise ValueError("shares are numbers above 0, one for each teacher")
        if not self.temperature > 0 or not 0 <= self.min_confidence <= 1:
            raise ValueError("temperature is above 0, min_confidence lies in [0, 1]")

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' names."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to learn on."""
        return (self.stream,)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Every teacher's logits."""
        return tuple(Question(self.stream, name, "logits") for name in self.teachers)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module | None:
        """Nothing of its own; checks that there are classes."""
        class_task(type(self).__name__.lower(), facts, self.stream)
        return None

    def lesson(self, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
        """What the teachers say of a step's rows.

        Args:
            step: The step.

        Returns:
            Softened log-probabilities [n, classes], and what each row counts in the loss [n]:
            together 1, less the rows that the teachers are not sure of.
        """
        batch = step.batches[self.stream]
        logits = torch.stack([batch[question.name].float() for question in self.questions])
        shares = logits.new_tensor(self.shares or [1.0] * len(logits))
        shares = shares / shares.sum()
        sure = mixed_log_shares(logits, shares).amax(-1).exp() >= self.min_confidence
        counts = (
            batch["weights"].float() if "weights" in batch else torch.ones_like(logits[0, :, 0])
        )
        softened = mixed_log_shares(logits / self.temperature, shares)
        return softened, counts / counts.sum() * sure
