"""What one step computes: one forward pass per stream, then every objective's losses.

All of it is one module with one `forward`, so that a wrapper for many processes sees a single call
per step, however many streams there are.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from transfuse.models import Batch, Network, Outputs
from transfuse.objectives import Facts, Objective, Step, StreamTask, rows_of

__all__ = ["TrainModule", "streams_of"]


def streams_of(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The streams that the objectives read, each once, in order of first mention."""
    return tuple(dict.fromkeys(name for objective in objectives for name in objective.streams))


class TrainModule(nn.Module):
    """The network and its objectives, from batches to named losses.

    Args:
        network: The network that learns.
        objectives: What it learns from.
        tasks: The task of each stream.
        facts: What is known of each stream before training begins.
        frozen: How many of the encoder's layers each batch already carries as `hidden`.
    """

    def __init__(
        self,
        network: Network,
        objectives: Sequence[Objective],
        tasks: Mapping[str, StreamTask],
        facts: Mapping[str, Facts],
        frozen: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.objectives = tuple(objectives)
        self.streams = streams_of(objectives)
        self.tasks = {name: tasks[rows_of(name)] for name in self.streams if rows_of(name) in tasks}
        self.rows = {name: fact.rows for name, fact in facts.items()}
        self.frozen = frozen
        self.owned = nn.ModuleDict()
        for index, objective in enumerate(self.objectives):
            module = objective.module(network, facts)
            if module is not None:
                self.owned[str(index)] = module

    def forward(self, batches: Mapping[str, Batch], progress: float) -> dict[str, torch.Tensor]:
        """The losses of one step by name, not yet weighted.

        Args:
            batches: One batch for each stream.
            progress: The share of training done, 0 to 1.
        """
        read = streams_of([each for each in self.objectives if each.reads_outputs])
        outputs = {name: self._run(name, batches[name]) for name in read}
        step = Step(self.network, batches, outputs, self.tasks, progress, self.frozen)
        losses: dict[str, torch.Tensor] = {}
        for index, objective in enumerate(self.objectives):
            module = dict(self.owned).get(str(index))
            for name, loss in objective.losses(step, module).items():
                if name in losses:
                    raise ValueError(f"two objectives give a loss named {name!r}")
                losses[name] = loss
        return losses

    def _run(self, stream: str, batch: Batch) -> Outputs:
        """The network on one stream; only the stream's own head answers."""
        known = self.tasks.get(stream)
        outputs: Outputs = self.network(batch, self.frozen, None if known is None else [known.head])
        return outputs

    def weights(self, losses: Mapping[str, object], progress: float) -> dict[str, float]:
        """The weight that each loss's objective asks for.

        Args:
            losses: The losses by name, in the order that `forward` gave them.
            progress: The share of training done, 0 to 1.
        """
        by_name = {
            name: objective.weight_of(name, progress, self.rows)
            for objective in self.objectives
            for name in objective.names
        }
        return {name: by_name[name] for name in losses}
