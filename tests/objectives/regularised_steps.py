"""Steps that regularising and distilling objectives see, made by hand."""

from typing import Any

import torch

from transfuse.models import Encoded, Network, Outputs
from transfuse.objectives import Facts, Step, StreamTask
from transfuse.tasks import Classification

HEAD = "target"


class Fixed(torch.nn.Module):
    """A network of which only the head and the width are ever asked for."""

    def __init__(self, dim: int, head: Any = None) -> None:
        super().__init__()
        self.encoder = torch.nn.Identity()
        self.encoder.dim = self.dim = dim  # type: ignore[assignment]
        self.heads = torch.nn.ModuleDict({} if head is None else {HEAD: head})


def task_of(classes: int = 3) -> StreamTask:
    return StreamTask(Classification(labels=tuple(map(str, range(classes)))), HEAD)


def facts_of(task: StreamTask | None = None, **more: Any) -> dict[str, Facts]:
    facts = Facts(more.pop("rows", 8), task=task or task_of(), **more)
    return {"target": facts, "unlabelled": facts, "source": facts}


def step_of(
    logits: torch.Tensor | None = None,
    *,
    features: torch.Tensor | None = None,
    tokens: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    batch: dict[str, torch.Tensor] | None = None,
    again: torch.Tensor | None = None,
    network: Any = None,
    task: StreamTask | None = None,
    progress: float = 0.5,
) -> Step:
    """One step of the stream `target`; `again` are the logits or features of the second view."""
    given = next(each for each in (logits, features, tokens) if each is not None)
    features = torch.zeros(len(given), 1) if features is None else features
    outputs = {"target": Outputs(features, {}, Encoded(features, tokens, mask))}
    if logits is not None:
        outputs["target"].logits[HEAD] = logits
    batches = {"target": batch or {}}
    if again is not None:
        outputs["target/again"] = Outputs(again, {HEAD: again}, Encoded(again))
        batches["target/again"] = batch or {}
    tasks = dict.fromkeys(batches, task or task_of())
    whole: Network = network
    return Step(whole, batches, outputs, tasks, progress)
