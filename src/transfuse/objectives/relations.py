"""Relate tokens as a teacher relates them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from transfuse.errors import Problem, RecipeError
from transfuse.models import Network
from transfuse.objectives.answers import Rows, token_mean, tokens_of
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, nothing

__all__ = ["Relations", "token_relations"]

_FAR = -1e9
"""The score of padding; finite, so that 0 times it is 0."""


def token_relations(tokens: torch.Tensor, mask: torch.Tensor, heads: int) -> torch.Tensor:
    """How each token relates to all real ones: log-softmax of scaled dot products.

    Args:
        tokens: Vectors [n, T, d], 32 bits.
        mask: Which tokens are real, bool [n, T].
        heads: Parts of equal length that the vectors are cut into; divides d.

    Returns:
        Log-probabilities [n, heads, T, T] that sum to 1 over the last axis.
    """
    rows, length, width = tokens.shape
    parts = tokens.view(rows, length, heads, width // heads).transpose(1, 2)
    scores = parts @ parts.transpose(-1, -2) / math.sqrt(width // heads)
    return scores.masked_fill(~mask[:, None, None, :], _FAR).log_softmax(-1)


@dataclass(frozen=True)
class Relations(Objective):
    """Divergence of the student's relations between tokens from the teacher's.

    After Wang et al. (2020), 'MiniLM: deep self-attention distillation' (arXiv:2002.10957), with
    the relation heads of Wang et al. (2021), 'MiniLMv2' (arXiv:2012.15828). Theirs relate queries,
    keys and values inside attention; here the hidden states themselves are related, so that any
    two architectures can be compared.
    """

    teacher: str
    """A model folder, or the name of any encoder, that cuts texts as the student does."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "target"
    """The rows to learn on: `target`, `unlabelled` or `source`. Default: target."""

    heads: int = 8
    """Parts that a token's vector is cut into, each with relations of its own; divides the widths
    of student and teacher, which need not be equal. Default: 8."""

    layer: int | None = None
    """After how many of the teacher's layers, embeddings counted. Default: after all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads < 1 or (self.layer is not None and self.layer < 1):
            raise ValueError("heads and layer are at least 1")

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to learn on."""
        return (self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The divergence."""
        return ("relations",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The teacher's token vectors."""
        return (Question(self.stream, self.teacher, "tokens", self.layer),)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks that the heads divide both widths."""
        widths = (network.encoder.dim, facts[self.stream].widths[self.questions[0].name])
        if any(width % self.heads for width in widths):
            raise RecipeError(
                Problem(
                    "learn.relations.heads",
                    f"{self.heads} heads of vectors of lengths {widths[0]} and {widths[1]}",
                    f"a divisor of {math.gcd(*widths)}",
                )
            )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Mean over heads and real tokens; 0 where no token can move."""
        found = tokens_of(step, self.stream)
        if found is None:
            return {"relations": nothing(features_of(step, self.stream))}
        tokens, mask = found
        wanted = step.batches[self.stream][self.questions[0].name].float()
        with full_precision(tokens):
            student = token_relations(tokens, mask, self.heads)
            teacher = token_relations(wanted, mask, self.heads)
        apart = functional.kl_div(student, teacher, reduction="none", log_target=True)
        return {"relations": token_mean(apart.sum(-1).mean(1), mask)}
