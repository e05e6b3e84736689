"""Think as a teacher thinks: its hidden states, through a learned projection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from transfuse.models import Network
from transfuse.objectives.answers import Rows, token_mean, tokens_of
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision, nothing

__all__ = ["Hidden"]


@dataclass(frozen=True)
class Hidden(Objective):
    """Squared error of the teacher's hidden states from the student's, linearly projected.

    Romero et al. (2015), 'FitNets: hints for thin deep nets' (arXiv:1412.6550); token by token as
    in Jiao et al. (2020), 'TinyBERT: distilling BERT for natural language understanding'
    (arXiv:1909.10351), but from the student's last layer alone.
    """

    teacher: str
    """A model folder, or the name of any encoder."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "target"
    """The rows to learn on: `target`, `unlabelled` or `source`. Default: target."""

    of: Literal["tokens", "pooled"] = "tokens"
    """Whether each token is compared or one vector a row; tokens need a teacher that cuts texts as
    the student does. Default: tokens."""

    layers: tuple[int, ...] | None = None
    """After how many of the teacher's layers, embeddings counted; with several, each has a
    projection of its own. Default: after all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = self.layers
        if layers is not None and (
            not layers or min(layers) < 1 or len(set(layers)) < len(layers) or self.of == "pooled"
        ):
            raise ValueError("layers are different numbers from 1 on, and for tokens only")

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to learn on."""
        return (self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The mean error over the layers."""
        return ("hidden",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The teacher's vectors after each layer."""
        if self.of == "pooled":
            return (Question(self.stream, self.teacher, "features"),)
        return tuple(
            Question(self.stream, self.teacher, "tokens", layer) for layer in self.layers or (None,)
        )

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """A projection from the student's width to the teacher's for each layer."""
        widths = facts[self.stream].widths
        return nn.ModuleList(
            nn.Linear(network.dim, widths[question.name]) for question in self.questions
        )

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Mean over layers, real tokens (or rows) and channels; 0 where no token can move."""
        assert isinstance(module, nn.ModuleList)
        vectors = features_of(step, self.stream)
        found = None if self.of == "pooled" else tokens_of(step, self.stream)
        if self.of == "tokens" and found is None:
            return {"hidden": nothing(vectors)}
        mask = None
        if found is not None:
            vectors, mask = found
        errors = []
        for question, projection in zip(self.questions, module, strict=True):
            wanted = step.batches[self.stream][question.name].float()
            with full_precision(vectors):
                error = (projection(vectors) - wanted).square().mean(-1)
            errors.append(error.mean() if mask is None else token_mean(error, mask))
        return {"hidden": torch.stack(errors).mean()}
