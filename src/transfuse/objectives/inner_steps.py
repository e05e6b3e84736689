"""Meta-learning: start where a few steps on a few rows lead far.

Each episode is a small problem: `support` rows to learn from in `steps` inner steps of plain
gradient descent, and for most methods other rows that tell how well that went. The inner steps run
the network on parameters of their own through `torch.func.functional_call`, so that the network
itself moves only when the optimizer moves it. Only what trains adapts. Dropout falls in inner
passes as in any pass of training.

An episode keeps the classes' own numbers: the head answers for all classes at once, and what it
learnt of them in one episode it knows in the next. That suits a fixed set of classes, as here,
where the literature gives every episode new ones.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.func import functional_call

from transfuse.data import Episodes
from transfuse.models import Batch, Network
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.closing import Closing, check_classes, close_head

__all__ = ["InnerSteps", "Queried", "Weights", "adapt", "pick", "trained_weights"]

Weights = dict[str, torch.Tensor]
"""Parameters by name."""


def adapt(
    losses: Iterable[Callable[[Weights], torch.Tensor]],
    start: Weights,
    rate: float,
    *,
    second_order: bool,
) -> Weights:
    """Plain gradient descent from given weights, which stay as they are.

    Args:
        losses: The loss of each step, a function of the weights.
        start: Weights by name; each requires a gradient.
        rate: The learning rate.
        second_order: Whether the result is a differentiable function of the start. If not, it is
            a constant.

    Returns:
        The weights after the last step.
    """
    now = dict(start)
    if not second_order:
        now = {name: weight.detach().requires_grad_() for name, weight in start.items()}
    for loss in losses:
        gradients = torch.autograd.grad(
            loss(now), list(now.values()), create_graph=second_order, allow_unused=True
        )
        now = {
            name: weight if gradient is None else weight - rate * gradient
            for (name, weight), gradient in zip(now.items(), gradients, strict=True)
        }
        if not second_order:
            now = {name: weight.detach().requires_grad_() for name, weight in now.items()}
    return now


def trained_weights(module: nn.Module) -> Weights:
    """The weights that train; all others stay where they are in inner steps too."""
    return {name: each for name, each in module.named_parameters() if each.requires_grad}


def pick(batch: Batch, rows: torch.Tensor) -> Batch:
    """Some rows of a batch, by number or by a boolean for each."""
    return {name: tensor[rows] for name, tensor in batch.items()}


@dataclass(frozen=True)
class InnerSteps(Objective):
    """An objective over episodes with inner steps."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    stream: Literal["target", "source"] = "target"
    """Whose rows make the episodes. Default: target."""

    ways: int = 8
    """Classes in an episode; fewer where there are fewer. Default: 8."""

    shots: int = 4
    """Rows of each class to learn from in the inner steps. Default: 4."""

    steps: int = 3
    """Inner steps. Default: 3."""

    inner_rate: float = 0.01
    """Learning rate of the inner steps. Default: 0.01."""

    head: Closing = "logistic"
    """What becomes of the target's head at the end, where the episodes are of the target: a
    `logistic` regression on the final features, class means (`centroid`), or as it was `trained`.
    Default: logistic."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError("steps must be at least 1")
        if not 0 < self.inner_rate < math.inf:
            raise ValueError("inner_rate is a number above 0")
        _ = self.episodes

    @property
    def streams(self) -> tuple[str, ...]:
        """Episodes of the chosen rows."""
        return (f"{self.stream}/episodes",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return (self.name,)

    @property
    @abstractmethod
    def episodes(self) -> Episodes:
        """As the options say."""

    @property
    def reads_outputs(self) -> bool:
        """It runs the network itself, on adapted weights."""
        return False

    def module(self, network: Network, facts: Mapping[str, Facts]) -> None:
        """Nothing of its own; checks the task and the head."""
        linear = self.stream == "target" and self.head != "trained"
        check_classes(self.name, network, facts[self.stream], linear=linear)

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Set the target's head from all of its rows."""
        if self.stream == "target":
            close_head(network, "target", batches["target"], self.head)

    def parts(self, step: Step) -> tuple[Batch, Batch]:
        """The support rows and the queries."""
        batch = step.batches[self.streams[0]]
        support = batch["support"]
        return pick(batch, support), pick(batch, ~support)

    def loss_of(self, step: Step, batch: Batch, weights: Weights) -> torch.Tensor:
        """The task's loss of the network with other weights."""
        known = step.tasks[self.streams[0]]
        outputs = functional_call(step.network, weights, (batch, step.frozen, [known.head]))
        return known.task.loss(
            outputs.logits[known.head],
            batch["targets"],
            weights=known.weights,
            row_weights=batch.get("weights"),
        )


@dataclass(frozen=True)
class Queried(InnerSteps):
    """One whose episodes have queries."""

    queries: int = 4
    """Rows of each class that the adapted weights are asked about. Default: 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 1:
            raise ValueError("queries must be at least 1")

    @property
    def episodes(self) -> Episodes:
        """As the options say."""
        return Episodes(self.ways, self.shots, self.queries)
