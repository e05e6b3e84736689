"""Small networks on points, and the steps that an objective over episodes sees of them."""

from typing import Any

import numpy as np
import torch
from torch import nn

from transfuse.models import Batch, Encoded, LinearHead, Network
from transfuse.objectives import Facts, Objective, Step, StreamTask
from transfuse.tasks import Classification, Regression

HEAD = "target"
EPISODES = "target/episodes"


class Points(nn.Module):
    """An encoder of points: the vectors of a batch are what a body makes of them."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        return Encoded(self.body(batch["points"]))


def small_network(dim: int, outputs: int, body: nn.Module | None = None, seed: int = 1) -> Network:
    """Double precision, so that gradients can be compared."""
    head = LinearHead(dim, outputs, seed=seed)
    with torch.no_grad():
        head.classifier.weight.mul_(20)
    encoders: Any = {"points": Points(body or nn.Identity())}
    return Network(encoders, {HEAD: head}).double()


def classes(count: int) -> StreamTask:
    return StreamTask(Classification(labels=tuple(map(str, range(count)))), HEAD)


def numbers() -> StreamTask:
    return StreamTask(Regression(mean=0.0, deviation=1.0), HEAD)


def facts_of(task: StreamTask, targets: torch.Tensor) -> dict[str, Facts]:
    return {HEAD: Facts(len(targets), targets=np.asarray(targets), task=task)}


def step_of(
    network: Network,
    points: torch.Tensor,
    targets: torch.Tensor,
    support: torch.Tensor | None = None,
    task: StreamTask | None = None,
    stream: str = EPISODES,
) -> Step:
    batch = {"points": points, "targets": targets, "rows": torch.arange(len(points))}
    if support is not None:
        batch["support"] = support
    known = task or classes(network.heads[HEAD].outputs)
    return Step(network, {stream: batch}, {stream: network(batch)}, {stream: known}, 0.0)


def loss_of(objective: Objective, step: Step) -> torch.Tensor:
    (loss,) = objective.losses(step, None).values()
    return loss


def gradient_of(objective: Objective, step: Step) -> dict[str, torch.Tensor]:
    step.network.zero_grad()
    loss_of(objective, step).backward()
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad.clone()
        for name, each in step.network.named_parameters()
    }


def clouds(
    count: int, rows: int, dim: int, spread: float = 0.3, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around random centres, class by class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count).repeat_interleave(rows)
    centres = torch.randn(count, dim, generator=draw, dtype=torch.float64)
    noise = torch.randn(len(labels), dim, generator=draw, dtype=torch.float64)
    return centres[labels] + spread * noise, labels
