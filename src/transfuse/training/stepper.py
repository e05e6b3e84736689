"""One optimizer step: batches, forward, losses, backward, clipping, update."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from transfuse.errors import Problem, TrainingError
from transfuse.models import Batch, Encoder, Feed
from transfuse.training.job import Job, StreamData
from transfuse.training.runtime import Runtime
from transfuse.training.step import TrainModule

__all__ = ["Stepper"]

Losses = dict[str, float]


class Stepper:
    """Does steps of a job.

    Args:
        job: The job.
        module: The network and its objectives.
        balancing: What the balancer owns, if anything.
        runtime: The processes at work.
    """

    def __init__(
        self, job: Job, module: TrainModule, balancing: nn.Module | None, runtime: Runtime
    ) -> None:
        self._job = job
        self._module = module
        self._balancing = balancing
        self._runtime = runtime

    def batch(self, feed: Feed, data: StreamData, rows: Any) -> Batch:
        """A batch of a feed's rows with their targets, on the run's device.

        Args:
            feed: The feed.
            data: The stream that the feed is of.
            rows: Row numbers, int64 [n], or a slice.
        """
        batch = feed.batch(rows)
        if data.targets is not None:
            batch["targets"] = torch.from_numpy(data.targets[rows])
        return {name: tensor.to(self._runtime.device) for name, tensor in batch.items()}

    def step(
        self,
        wrapped: nn.Module,
        batches: Sequence[Mapping[str, Batch]],
        optimizer: torch.optim.Optimizer,
        moving: Sequence[nn.Parameter],
        done: int,
        total: int,
    ) -> tuple[Losses, Losses]:
        """One step.

        Args:
            wrapped: The module as the runtime prepared it.
            batches: One batch per stream, for each part of an accumulated step.
            optimizer: The stage's optimizer.
            moving: The parameters that train.
            done: Steps done in the run.
            total: Steps of the run.

        Returns:
            The losses and their effective weights by name, of the last part.

        Raises:
            TrainingError: If a loss is not finite; nothing has been updated then.
        """
        self._ready()
        for part in batches[:-1]:
            with self._runtime.unsynchronised(wrapped):
                self._backward(wrapped, part, moving, done, total, len(batches))
        losses, weights = self._backward(wrapped, batches[-1], moving, done, total, len(batches))
        if self._job.options.clip:
            self._runtime.clip(moving, self._job.options.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return losses, weights

    def _ready(self) -> None:
        """Training mode, but for what is frozen: no dropout there."""
        self._module.train()
        for encoder in self._job.network.encoders.values():
            assert isinstance(encoder, Encoder)
            for layer in encoder.layers():
                for module in layer:
                    if not any(weight.requires_grad for weight in module.parameters()):
                        module.eval()

    def _backward(
        self,
        wrapped: nn.Module,
        batches: Mapping[str, Batch],
        moving: Sequence[nn.Parameter],
        done: int,
        total: int,
        parts: int,
    ) -> tuple[Losses, Losses]:
        engine = self._job.engine
        progress = done / total
        with torch.autocast(self._runtime.device.type, engine.dtype, enabled=engine.autocast):
            losses = wrapped(batches, progress)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        _check_finite(values, done)
        weights = self._job.balancer.backward(
            {name: loss / parts for name, loss in losses.items()},
            self._module.weights(losses, progress),
            moving,
            self._balancing,
            self._runtime.backward,
        )
        return values, weights


def _check_finite(losses: Losses, done: int) -> None:
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            Problem(
                f"step {done + 1}, objective {name!r}",
                f"the loss is {losses[name]}",
                "a finite number",
                "Lower the learning rate, or look for extreme values in the data.",
            )
            for name in broken
        )
