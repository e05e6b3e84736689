"""Small networks on points, and the steps that an adaptation objective sees of them."""

from typing import Any

import torch
from torch import nn

from transfuse.models import Encoded, LinearHead, Network
from transfuse.objectives import Facts, Step, StreamTask
from transfuse.tasks import Classification, Regression

CLASSES = 3
HEAD = "target"


class Points(nn.Module):
    """An encoder of points: the vectors of a batch are what a body makes of them."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, batch: dict[str, torch.Tensor], from_layer: int = 0) -> Encoded:
        return Encoded(self.body(batch["points"]))


def small_network(dim: int = 4, classes: int = CLASSES, body: nn.Module | None = None) -> Network:
    head = LinearHead(dim, classes, seed=1)
    with torch.no_grad():
        head.classifier.weight.mul_(20)
    return Network({"points": Points(body or nn.Linear(dim, dim))}, {HEAD: head})


def classification(classes: int = CLASSES) -> StreamTask:
    return StreamTask(Classification(labels=tuple(map(str, range(classes)))), HEAD)


def regression() -> StreamTask:
    return StreamTask(Regression(), HEAD)


def facts_of(
    task: StreamTask | None = None,
    source: StreamTask | None = None,
    rows: int = 12,
    answers: dict[str, Any] | None = None,
) -> dict[str, Facts]:
    task = task or classification()
    return {
        "source": Facts(rows, task=source or task),
        "unlabelled": Facts(rows, task=task, answers=answers or {}),
    }


def step_of(
    network: Network,
    points: dict[str, torch.Tensor],
    targets: torch.Tensor | None = None,
    progress: float = 1.0,
    task: StreamTask | None = None,
) -> Step:
    """The step of named batches of points; `targets` are the source's."""
    batches = {
        name: {"points": each, "rows": torch.arange(len(each))} for name, each in points.items()
    }
    if targets is not None:
        batches["source"]["targets"] = targets
    outputs = {name: network(batch) for name, batch in batches.items()}
    task = task or classification(network.heads[HEAD].outputs)
    return Step(network, batches, outputs, dict.fromkeys(batches, task), progress)


def three_streams(n: int = 8, m: int = 6, dim: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    unlabelled = torch.randn(m, dim, generator=draw) + 1
    return {
        "source": torch.randn(n, dim, generator=draw),
        "unlabelled": unlabelled,
        "unlabelled/augmented": unlabelled + 0.1,
    }
