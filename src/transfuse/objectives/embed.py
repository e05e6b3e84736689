"""Embed as a teacher embeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from transfuse.models import Network
from transfuse.objectives.answers import Rows
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, full_precision

__all__ = ["Embed", "principal_projection"]


def principal_projection(vectors: torch.Tensor, width: int) -> nn.Linear:
    """A projection that rebuilds vectors from their principal components, as well as any can.

    Args:
        vectors: Rows [n, d].
        width: How many components there are to rebuild from; entries past the d-th have no part.

    Returns:
        A layer from `width` to d: the principal axes, and the mean as its bias.
    """
    wide = vectors.double()
    mean = wide.mean(0)
    centred = wide - mean
    _, found = torch.linalg.eigh(centred.T @ centred)
    axes = found.flip(1)[:, :width]
    projection = nn.Linear(width, vectors.shape[1])
    with torch.no_grad():
        projection.weight.zero_()
        projection.weight[:, : axes.shape[1]] = axes
        projection.bias.copy_(mean)
    return projection


@dataclass(frozen=True)
class Embed(Objective):
    """Distance of the student's vector of a row from the teacher's, without labels.

    As Reimers and Gurevych (2020), 'Making monolingual sentence embeddings multilingual using
    knowledge distillation' (arXiv:2004.09813), within one language.
    """

    teacher: str
    """A model folder, or the name of any encoder."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Rows = "unlabelled"
    """The rows to learn on: `target`, `unlabelled` or `source`. Default: unlabelled."""

    loss: Literal["mse", "cosine"] = "mse"
    """The mean squared difference of entries, or 1 - cosine. Default: mse."""

    start: Literal["pca", "random"] = "pca"
    """Where vectors differ in length, how the learned projection from student to teacher starts:
    with the teacher's principal axes, or drawn. Default: pca."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The rows to learn on."""
        return (self.stream,)

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("embed",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The teacher's pooled vectors."""
        return (Question(self.stream, self.teacher, "features"),)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module | None:
        """A projection where the lengths differ."""
        (question,) = self.questions
        known = facts[self.stream]
        dim, width = network.dim, known.widths[question.name]
        if dim == width:
            return None
        if self.start == "random":
            return nn.Linear(dim, width)
        return principal_projection(torch.from_numpy(known.answers[question.name]), dim)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean distance over the rows."""
        student = features_of(step, self.stream)
        wanted = step.batches[self.stream][self.questions[0].name].float()
        with full_precision(student):
            student = student if module is None else module(student)
            if self.loss == "mse":
                return {"embed": functional.mse_loss(student, wanted)}
            return {"embed": (1 - functional.cosine_similarity(student, wanted)).mean()}
