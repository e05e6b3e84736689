"""Prototypes: learn a space in which the mean of a few rows finds the others of their class."""

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
from transfuse.objectives.closing import Closing, check_classes, class_means, close_head

__all__ = ["Proto"]


@dataclass(frozen=True)
class Proto(Objective):
    """Cross-entropy of an episode's queries over the class means of its support rows.

    Prototypical networks: Snell, Swersky and Zemel (2017), 'Prototypical networks for few-shot
    learning' (arXiv:1703.05175).
    """

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Literal["target", "source"] = "target"
    """Whose rows make the episodes. Default: target."""

    ways: int = 16
    """Classes in an episode; fewer where there are fewer. Default: 16."""

    shots: int = 4
    """Rows of each class that make its mean. Default: 4."""

    queries: int = 4
    """Rows of each class that are asked about. Default: 4."""

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """What is near: a small squared distance, or a small angle. Default: euclidean."""

    temperature: float | None = None
    """What distances or cosines are divided by. Default: 1 for distances, 0.1 for cosines."""

    head: Closing = "centroid"
    """What becomes of the target's head at the end, where the episodes are of the target: class
    means, a `logistic` regression, or as other objectives `trained` it. Default: centroid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 1:
            raise ValueError("queries must be at least 1")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ValueError("temperature is a number above 0")
        Episodes(self.ways, self.shots, self.queries)

    @property
    def streams(self) -> tuple[str, ...]:
        """Episodes of the chosen rows."""
        return (f"{self.stream}/episodes",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("proto",)

    @property
    def episodes(self) -> Episodes:
        """As the options say."""
        return Episodes(self.ways, self.shots, self.queries)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the head."""
        linear = self.stream == "target" and self.head != "trained"
        check_classes("proto", network, facts[self.stream], linear=linear)

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The mean cross-entropy of the queries."""
        (name,) = self.streams
        batch, outputs = step.batches[name], step.outputs[name]
        features = outputs.features.float()
        support = batch["support"]
        classes, places = batch["targets"].unique(return_inverse=True)
        with torch.autocast(features.device.type, enabled=False):
            if self.distance == "cosine":
                features = functional.normalize(features, dim=1)
            means = class_means(features[support], places[support], len(classes))
            logits = self._logits(features[~support], means)
            loss = functional.cross_entropy(logits, places[~support])
        # Over a frozen encoder the features have no graph; the head's takes its place.
        return {"proto": loss + (0 * outputs.logits[step.tasks[name].head].float()).sum()}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Set the target's head from all of its rows."""
        if self.stream == "target":
            cosine = self.distance == "cosine"
            close_head(network, "target", batches["target"], self.head, cosine=cosine)

    def _logits(self, queries: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Nearness of each query to each mean [n, classes]."""
        if self.distance == "cosine":
            cosines = queries @ functional.normalize(means, dim=1).T
            return cosines / (self.temperature or 0.1)
        squares = means.square().sum(1) - 2 * queries @ means.T + queries.square().sum(1)[:, None]
        return -squares / (self.temperature or 1.0)
