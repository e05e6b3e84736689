"""Adapt a trained model to the target without any row of the source."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional

from transfuse.errors import Problem, RecipeError
from transfuse.models import Network
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import (
    discrete_task,
    entropies,
    features_of,
    full_precision,
    logits_of,
    nothing,
)

__all__ = ["SHOT", "Bank", "centroid_labels"]


def centroid_labels(features: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """The class whose centroid is nearest to each row by cosine, [n] int64.

    The centroids are first those of the predictions, then those of the labels that these gave.

    Args:
        features: Vectors [n, d].
        shares: Predicted probabilities [n, classes].
    """
    vectors = functional.normalize(features)
    belongs = shares
    for _ in range(2):
        # A class that no row is of has no place in the space.
        counts = torch.bincount(belongs.argmax(1), minlength=shares.shape[1])
        centroids = functional.normalize(belongs.T @ vectors)
        closeness = (vectors @ centroids.T).masked_fill(counts == 0, -torch.inf)
        labels = closeness.argmax(1)
        belongs = functional.one_hot(labels, shares.shape[1]).to(vectors)
    return labels


class Bank(nn.Module):
    """What the model last said of every row, and the labels that follow from it.

    Args:
        features: Vectors of all rows [rows, d].
        shares: Predicted probabilities of all rows [rows, classes].
    """

    def __init__(self, features: torch.Tensor, shares: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("shares", shares)
        self.register_buffer("labels", centroid_labels(features, shares))
        self.register_buffer("since", torch.zeros((), dtype=torch.int64))

    def update(self, rows: torch.Tensor, features: torch.Tensor, shares: torch.Tensor) -> None:
        """Remember a batch; once as many rows as there are have come, label all anew."""
        held = {name: self.get_buffer(name) for name in ("features", "shares", "labels", "since")}
        held["features"][rows] = features.detach()
        held["shares"][rows] = shares.detach()
        held["since"] += len(rows)
        if held["since"] >= len(held["labels"]):
            held["labels"].copy_(centroid_labels(held["features"], held["shares"]))
            held["since"].zero_()


@dataclass(frozen=True)
class SHOT(Objective):
    """Sure and varied predictions on the target under a head held fixed, without source (SHOT).

    Liang, Hu and Feng (2020), 'Do we really need to access the source data? Source hypothesis
    transfer for unsupervised domain adaptation' (arXiv:2002.08546): information maximisation, and
    labels by the nearest centroid.
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    pseudo: float = 0.3
    """Weight in it of the cross-entropy with the centroids' labels. Default: 0.3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pseudo < 0:
            raise ValueError("pseudo is 0 or above")

    @property
    def streams(self) -> tuple[str, ...]:
        """The unlabelled rows."""
        return ("unlabelled",)

    @property
    def names(self) -> tuple[str, ...]:
        """The loss."""
        return ("shot",)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the model said of every row before: the first labels come from it."""
        return (
            Question("unlabelled", None, "features"),
            Question("unlabelled", None, "logits"),
        )

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module:
        """The bank, filled with what the model says before it adapts."""
        discrete_task("shot", facts)
        together = distributed.is_available() and distributed.is_initialized()
        processes = distributed.get_world_size() if together else 1
        if processes > 1:
            # Each would know the labels of its own rows only, and none would move the head, which
            # processes that share gradients wait for.
            raise RecipeError(
                Problem(
                    "learn",
                    f"shot remembers every row, and {processes} processes share the rows",
                    "one process",
                    "Start the run without torchrun.",
                )
            )
        features, logits = (
            torch.from_numpy(np.array(facts["unlabelled"].answers[question.name], np.float32))
            for question in self.questions
        )
        return Bank(features, logits.softmax(-1))

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Entropy of the predictions less that of their mean, and the labels' cross-entropy."""
        assert isinstance(module, Bank)
        features = features_of(step, "unlabelled")
        rows = step.batches["unlabelled"]["rows"]
        labels = module.get_buffer("labels")[rows]
        logits = _under_fixed_head(step)
        log_shares = logits.log_softmax(-1)
        shares = log_shares.exp()
        varied = entropies(shares.mean(0).clamp_min(torch.finfo(shares.dtype).tiny).log())
        loss = entropies(log_shares).mean() - varied
        loss = loss + self.pseudo * functional.cross_entropy(logits, labels)
        with full_precision(features):
            module.update(rows, features, shares)
        if not loss.requires_grad:
            # While the encoder is frozen there is nothing that this loss may move.
            loss = loss + nothing(logits_of(step, "unlabelled"))
        return {"shot": loss}


def _under_fixed_head(step: Step) -> torch.Tensor:
    """The logits of the unlabelled rows, whose gradient passes the head and does not move it."""
    head = step.network.heads[step.tasks["unlabelled"].head]
    held = {name: weight.detach() for name, weight in head.named_parameters()}
    encoded, batch = step.outputs["unlabelled"].encoded, step.batches["unlabelled"]
    logits: torch.Tensor = torch.func.functional_call(head, held, (encoded, batch))
    return logits.float()
