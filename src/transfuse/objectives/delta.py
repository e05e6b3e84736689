"""Behave near the source: the vectors that the encoder gives, not its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.models import Network
from transfuse.objectives.answers import class_task, token_mean, tokens_of
from transfuse.objectives.base import Facts, Objective, Question, Ramp, Step
from transfuse.objectives.domains import features_of, nothing
from transfuse.objectives.logistic import fit_logistic

__all__ = ["Delta", "channel_weights"]

_MOST_ROWS = 1_000
_PENALTY = 1e-2

Floats = NDArray[np.float64]


def channel_weights(features: Floats, targets: NDArray[np.int64], classes: int) -> Floats:
    """What each channel of the start's vectors counts, [d]; the mean is 1.

    The softmax of how much the loss of a classifier on these vectors rises when the channel is
    set to 0.

    Args:
        features: The start's vectors [n, d]; of very many rows some are taken, evenly.
        targets: Class numbers [n].
        classes: How many classes there are.
    """
    taken = np.linspace(0, len(targets) - 1, min(len(targets), _MOST_ROWS)).astype(np.int64)
    features, targets = features[taken], targets[taken]
    weights = fit_logistic(features, targets, classes, _PENALTY)
    logits = features @ weights[:, :-1].T + weights[:, -1]
    losses = [
        _loss(logits - np.outer(features[:, channel], weights[:, channel]), targets)
        for channel in range(features.shape[1])
    ]
    found: Floats = softmax(np.array(losses) - _loss(logits, targets)) * features.shape[1]
    return found


def _loss(logits: Floats, targets: NDArray[np.int64]) -> float:
    own = logits[np.arange(len(targets)), targets]
    return float((logsumexp(logits, axis=1) - own).mean())


class _Channels(nn.Module):
    """The weight of each channel; a buffer, so that it moves and resumes."""

    weights: torch.Tensor

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)


@dataclass(frozen=True)
class Delta(Objective):
    """Squared distance of the encoder's vectors from those that it gave before training (DELTA).

    Li et al. (2019), 'DELTA: deep learning transfer using feature map with attention'
    (arXiv:1901.09229). The vectors of a text's tokens in the last layer take the place of an
    image's feature map.
    """

    weight: float | Ramp = 1.0
    """Weight of the distance. Default: 1."""

    of: Literal["tokens", "features"] = "tokens"
    """Whether the vector of each token is held, or one vector a row. Default: tokens."""

    attention: bool = False
    """Whether channels count by what the labels lose without them. Default: false, all count the
    same."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The distance."""
        return ("delta",)

    @property
    def convex(self) -> bool:
        """Over a frozen encoder the distance is constant."""
        return True

    @property
    def questions(self) -> tuple[Question, ...]:
        """The run's own model, as it was before training."""
        asked = (Question("target", None, self.of),)
        if self.attention and self.of == "tokens":
            return (*asked, Question("target", None, "features"))
        return asked

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module | None:
        """The weights of the channels, where they are to differ."""
        if self.of == "features" and network.dim != network.encoder.dim:
            raise RecipeError(
                Problem(
                    "learn.delta.of",
                    f"the fusion's vectors have {network.dim} entries, the encoder's "
                    f"{network.encoder.dim}",
                    "a network without a fusion",
                    "l2_sp holds the weights of any network.",
                )
            )
        if not self.attention:
            return None
        known = facts["target"]
        task = class_task("delta with attention", facts, "target").task
        if self.of == "tokens" and network.encoder.pooling_used == "pooler":
            raise RecipeError(
                Problem(
                    "learn.delta.attention",
                    "the model's pooler mixes the channels of its tokens",
                    "channels that mean the same in tokens and in pooled vectors",
                    "Set `of: features`, or give the model `pooling: mean`.",
                )
            )
        vectors = known.answers[self.questions[-1].name].astype(np.float64)
        assert known.targets is not None
        found = channel_weights(vectors, known.targets, task.outputs)
        return _Channels(torch.from_numpy(found.astype(np.float32)))

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Mean over real tokens (or rows) and channels; 0 where no token can move."""
        vectors, mask = features_of(step, "target"), None
        if self.of == "tokens":
            found = tokens_of(step, "target")
            if found is None:
                return {"delta": nothing(vectors)}
            vectors, mask = found
        before = step.batches["target"][self.questions[0].name].float()
        moved = (vectors - before).square()
        if isinstance(module, _Channels):
            moved = moved * module.weights
        distance = moved.mean(-1)
        return {"delta": distance.mean() if mask is None else token_mean(distance, mask)}
