"""One optimizer step: batches, forward, losses, backward, clipping, update."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from operator import is_not

import torch
from torch import nn

from transfuse.balancing import Fixed, Jacobian
from transfuse.errors import Problem, TrainingError
from transfuse.models import Batch, Encoder
from transfuse.training.job import Job
from transfuse.training.passes import StepPasses
from transfuse.training.runtime import Runtime
from transfuse.training.step import TrainModule

__all__ = ["Stepper"]

Losses = dict[str, torch.Tensor]
Numbers = dict[str, float]


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
        self._jacobian = Jacobian([])

    def step(
        self,
        wrapped: nn.Module,
        batches: Sequence[Mapping[str, Batch]],
        optimizer: torch.optim.Optimizer,
        moving: Sequence[nn.Parameter],
        done: int,
        total: int,
    ) -> tuple[Numbers, Numbers]:
        """One step.

        Args:
            wrapped: The module as the runtime prepared it.
            batches: One batch per stream, for each part of an accumulated step.
            optimizer: The stage's optimizer.
            moving: The parameters that train.
            done: Steps done in the run.
            total: Steps of the run.

        Returns:
            The losses, the mean over the parts, and their effective weights, both by name.

        Raises:
            TrainingError: If a loss is not finite; nothing has been updated then.
        """
        self._ready()
        progress = done / total
        names = [name for objective in self._job.objectives for name in objective.names]
        passes = StepPasses(
            [partial(self._losses, wrapped, part, progress, done) for part in batches],
            self._module.weights(dict.fromkeys(names), progress),
            wrapped,
            self._room(moving),
            self._runtime,
            apart=self._job.balancer.apart,
        )
        # A loss alone has nothing to be balanced with.
        balancer = self._job.balancer if len(passes.names) > 1 else Fixed()
        factors = balancer.backward(passes, self._balancing)
        effective = (passes.weights * factors).tolist()
        weights = dict.fromkeys(names, 0.0) | dict(zip(passes.names, effective, strict=True))
        if self._job.options.clip:
            self._runtime.clip(moving, self._job.options.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return passes.losses, weights

    def _ready(self) -> None:
        """Training mode, but for what is frozen: no dropout there."""
        self._module.train()
        for encoder in self._job.network.encoders.values():
            assert isinstance(encoder, Encoder)
            for layer in encoder.layers():
                for module in layer:
                    if not any(weight.requires_grad for weight in module.parameters()):
                        module.eval()

    def _room(self, moving: Sequence[nn.Parameter]) -> Jacobian:
        """Room for the gradients of all that trains: the network's parameters and objectives'."""
        owned = [each for each in self._module.owned.parameters() if each.requires_grad]
        parameters = tuple(dict.fromkeys([*moving, *owned]))
        kept = self._jacobian.parameters
        if len(kept) != len(parameters) or any(map(is_not, kept, parameters)):
            self._jacobian = Jacobian(parameters)
        return self._jacobian

    def _losses(
        self, wrapped: nn.Module, batches: Mapping[str, Batch], progress: float, done: int
    ) -> Losses:
        """The losses of one part of the step, all of them finite."""
        engine = self._job.engine
        with torch.autocast(self._runtime.device.type, engine.dtype, enabled=engine.autocast):
            losses: Losses = wrapped(batches, progress)
        _check_finite({name: float(loss.detach()) for name, loss in losses.items()}, done)
        return losses


def _check_finite(losses: Numbers, done: int) -> None:
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
