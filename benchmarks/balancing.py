"""One step of each rule on gradients, beside TorchJD where it has the rule.

    pip install "torchjd[full]"
    python -m benchmarks balancing

A step is what comes between the losses and `.grad`: the backward passes, the rule and the
combination. The losses are those of T heads over shared layers of 4.2 million parameters. It is
measured twice, since TorchJD takes another way in each case: with the losses on one batch, where
it differentiates all of them at once from the shared features; and with a batch for each loss.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torchjd import aggregation, autojac

from benchmarks.measuring import machine
from transfuse.balancing import BALANCERS, Jacobian
from transfuse.balancing.gramian import GradientRule, factors_of

WIDTH, LAYERS, ROWS = 1024, 4, 32
PEERS: dict[str, Callable[[int], aggregation.Aggregator]] = {
    "mgda": lambda tasks: aggregation.MGDA(),
    "pcgrad": lambda tasks: aggregation.PCGrad(),
    "cagrad": lambda tasks: aggregation.CAGrad(c=0.5),
    "imtl_g": lambda tasks: aggregation.IMTLG(),
    "nash_mtl": lambda tasks: aggregation.NashMTL(n_tasks=tasks),
    "upgrad": lambda tasks: aggregation.UPGrad(),
    "aligned_mtl": lambda tasks: aggregation.AlignedMTL(),
}


class Model(nn.Module):
    """Shared layers and T heads."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.GELU())]
        self.body = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, 4) for _ in range(tasks))

    def losses(self, features: list[torch.Tensor], goals: torch.Tensor) -> list[torch.Tensor]:
        """The loss of each head on its features."""
        return [
            nn.functional.cross_entropy(head(each), goal)
            for head, each, goal in zip(self.heads, features, goals, strict=True)
        ]


class Contest:
    """One number of tasks, one way of drawing batches."""

    def __init__(self, tasks: int, *, together: bool) -> None:
        torch.manual_seed(0)
        self.model = Model(tasks)
        self.tasks, self.together = tasks, together
        self.rows = torch.randn(1 if together else tasks, ROWS, WIDTH)
        self.goals = torch.randint(4, (tasks, ROWS))
        self.jacobian = Jacobian(list(self.model.parameters()))

    def forward(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Features and losses, which are not part of what is measured."""
        self.model.zero_grad(set_to_none=True)
        features = [self.model.body(rows) for rows in self.rows]
        return features, self.model.losses(features * (self.tasks // len(features)), self.goals)

    def ours(self, rule: GradientRule) -> float:
        """Seconds of our step."""
        _, losses = self.forward()
        began = time.perf_counter()
        self.jacobian.take(losses)
        self.jacobian.write(factors_of(self.jacobian.gramian(), rule.factors))
        return time.perf_counter() - began

    def theirs(self, rule: aggregation.Aggregator) -> float:
        """Seconds of TorchJD's step."""
        features, losses = self.forward()
        shared = list(self.model.body.parameters())
        began = time.perf_counter()
        if self.together:
            autojac.mtl_backward(losses, features=features[0])
        else:
            # The heads' own gradients, which ours gives too, it would take in passes of their own.
            autojac.backward(losses, inputs=shared)
        autojac.jac_to_grad(shared, rule)
        return time.perf_counter() - began


def main(rounds: int = 5) -> None:
    """Measure and print."""
    print(machine())
    shared = sum(each.numel() for each in Model(1).body.parameters())
    print(f"{shared:,} shared parameters, {ROWS} rows a loss; medians of {rounds} rounds in turn")
    for together in (True, False):
        print(f"\n{'one batch for all losses' if together else 'a batch for each loss'}")
        print(f"{'rule':<12} {'T':>3} {'transfuse':>12} {'TorchJD':>12} {'ratio':>7}")
        for tasks in (2, 5, 10):
            contest = Contest(tasks, together=together)
            for name, kind in BALANCERS.items():
                if issubclass(kind, GradientRule):
                    _compare(name, kind(), contest, rounds)


def _compare(name: str, rule: GradientRule, contest: Contest, rounds: int) -> None:
    peer = PEERS[name](contest.tasks)
    # One of each first, for what is only done once.
    contest.ours(rule)
    contest.theirs(peer)
    pairs = [(contest.ours(rule), contest.theirs(peer)) for _ in range(rounds)]
    mine, other = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    row = f"{name:<12} {contest.tasks:>3} {mine:>9.1f} ms {other:>9.1f} ms {ratio:>6.2f}×"
    print(row, flush=True)
