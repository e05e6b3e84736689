"""The one training loop.

The loop owns iteration, stages, schedules, checkpoints and the always-called close. What a step
computes is `TrainModule`'s, how gradients come from losses is the balancer's, and everything about
processes and devices is the runtime's. The same call on the same folder goes on from the last
checkpoint and arrives at the same weights as a run that was never stopped.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from transfuse.data import seed_for
from transfuse.models import Feeds
from transfuse.training.callbacks import Callback, StepReport
from transfuse.training.checkpoint import (
    Position,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from transfuse.training.interrupt import Interrupt, interruptible
from transfuse.training.job import Job
from transfuse.training.optimizer import Schedule, build_optimizer
from transfuse.training.runtime import Runtime
from transfuse.training.selection import Selection, choice_told, scores_now
from transfuse.training.solver import solve_best
from transfuse.training.state import pack, unpack
from transfuse.training.step import TrainModule
from transfuse.training.stepper import Stepper
from transfuse.training.streams import Streams, batch_of, finish_objectives, rows_per_step
from transfuse.tuning import Stage, frozen_layers

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted:
    """What training left besides the weights, which are in the job's network."""

    steps: int
    seconds: float
    trained_parameters: int
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry per evaluation: step and scores."""

    resumed: bool = False

    choice: Mapping[str, float] = field(default_factory=dict)
    """What choosing weights without labels came to, by name; see `choice_told`."""


def fit(job: Job, folder: Path | None = None, callbacks: Sequence[Callback] = ()) -> Fitted:
    """Train the job's network in place.

    Args:
        job: What to train, on what.
        folder: Where checkpoints and curves are kept. Default: nowhere; an interrupted run then
            starts anew.
        callbacks: What watches the run.

    Returns:
        What happened.

    Raises:
        TrainingError: If a loss is not finite, or the folder holds another job's checkpoint.
        KeyboardInterrupt: After a checkpoint, where the run was asked to stop.
    """
    runtime = Runtime(job.options.tracker, folder)
    try:
        # Autocast is for the forward pass alone; the rest of the engine holds for the whole run.
        steady = replace(job.engine, autocast=False)
        with (
            interruptible() as interrupt,
            steady.apply(job.network),
            torch.random.fork_rng(devices=[]),
        ):
            return _Loop(job, folder, callbacks, runtime, interrupt).run()
    finally:
        runtime.close()
        for callback in callbacks:
            callback.close()


class _Loop:
    """The state of one call of `fit`."""

    def __init__(
        self,
        job: Job,
        folder: Path | None,
        callbacks: Sequence[Callback],
        runtime: Runtime,
        interrupt: Interrupt,
    ) -> None:
        self.job = job
        self.folder = folder / "checkpoint" if folder is not None else None
        self.callbacks = callbacks
        self.runtime = runtime
        self.interrupt = interrupt
        self.parameters = dict(job.network.named_parameters())
        # What is measured in training belongs to its weights: BatchNorm's statistics.
        self.chosen = dict(job.network.state_dict(keep_vars=True))
        torch.manual_seed(seed_for(job.seed, "objectives"))
        self.module = TrainModule(job.network, job.objectives, job.tasks, job.facts).to(
            runtime.device
        )
        losses = [name for objective in job.objectives for name in objective.names]
        self.balancing = job.balancer.module(losses)
        self.stepper = Stepper(job, self.module, self.balancing, runtime)
        self.history: list[dict[str, float]] = []
        patience = job.options.patience
        chooses = patience is not None or job.criterion is not None
        self.selection = Selection(patience) if chooses else None
        self.began = time.monotonic()
        self.done = 0
        self.saved = self.began

    def run(self) -> Fitted:
        """All stages, from the checkpoint on if there is one."""
        found = load_checkpoint(self.folder, self.job.fingerprint) if self.folder else None
        if found is not None:
            self._restore(*found)
        start = found[0].stage if found else 0
        for index, stage in enumerate(self.job.stages):
            self.done = sum(self._steps(earlier) for earlier in self.job.stages[:index])
            if index >= start:
                self._run_stage(index, stage, found if found and index == start else None)
        if self.selection is not None:
            self.selection.restore(self.chosen)
        finish_objectives(self.job, self.module, self.runtime.device)
        trained = frozenset().union(*(stage.names for stage in self.job.stages))
        return Fitted(
            steps=self.done,
            seconds=time.monotonic() - self.began,
            trained_parameters=sum(self.parameters[name].numel() for name in trained),
            history=self.history,
            resumed=found is not None,
            choice=choice_told(self.history),
        )

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return sum(self._steps(stage) for stage in self.job.stages)

    def _steps(self, stage: Stage) -> int:
        """The stage's steps; a solved stage has none and leaves its share to the others."""
        if self._solvable(stage):
            return 0
        job = self.job
        trained = [other.share for other in job.stages if not self._solvable(other)]
        rows = sum(len(job.streams[name].inputs) for name in job.clock)
        batch = sum(rows_per_step(job, name) for name in job.clock) * self.runtime.world
        total = job.options.steps(math.ceil(rows / batch))
        return max(1, round(total * stage.share / sum(trained)))

    def _solvable(self, stage: Stage) -> bool:
        """Whether an exact solver may take the stage's place."""
        return (
            stage.solve
            and all(objective.convex for objective in self.job.objectives)
            and all(head.linear is not None for head in self.job.network.heads.values())
        )

    def _run_stage(
        self, index: int, stage: Stage, found: tuple[Position, dict[str, torch.Tensor]] | None
    ) -> None:
        steps = self._steps(stage)
        for callback in self.callbacks:
            callback.on_stage(stage, index, len(self.job.stages), steps)
        if self.selection is not None and index and found is None:
            # A stage begins from the best weights so far and with all its patience.
            self.selection.restore(self.chosen)
            self.selection.stale = 0
        moving = self._free(stage)
        frozen = self._frozen(moving)
        self.module.frozen = frozen
        self.feeds = Feeds(
            self.job.network,
            frozen,
            self.job.store,
            self.job.encode_engine,
            moving if self.job.options.prefix_cache else None,
        )
        streams = Streams(
            self.job,
            self.feeds,
            self.module.streams,
            stage=index,
            rank=self.runtime.rank,
            world=self.runtime.world,
            device=self.runtime.device,
        )
        torch.manual_seed(seed_for(self.job.seed, "stage", index))
        if steps:
            self._train(index, stage, steps, streams, moving, found)
        else:
            self._solve(streams, moving)

    def _free(self, stage: Stage) -> list[nn.Parameter]:
        """Let the stage's parameters move and hold all others."""
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in stage.names)
        return [self.parameters[name] for name in sorted(stage.names)]

    def _frozen(self, moving: Sequence[nn.Parameter]) -> int:
        """How many layers' output can be kept and taken up again."""
        network = self.job.network
        if not self.job.options.prefix_cache or len(network.encoders) != 1:
            return 0
        frozen = frozen_layers(network.encoder, moving)
        # The embeddings alone cost less to compute than to read, unless they are the whole encoder.
        kept = frozen > 1 or frozen == network.encoder.depth
        return frozen if kept and network.can_resume(frozen) else 0

    def _solve(self, streams: Streams, moving: Sequence[nn.Parameter]) -> None:
        job = self.job
        checked = None
        if job.validation is not None and job.validation_task is not None:
            feed = self.feeds.feed(job.validation.inputs)
            batch = batch_of(feed, job.validation, slice(None), self.runtime.device)
            checked = (batch, job.validation_task)
        self.module.eval()
        penalty = solve_best(self.module, streams.whole(), moving, job.options.penalty, checked)
        for callback in self.callbacks:
            callback.on_notice(f"probe solved with penalty {penalty:.2g}")

    def _train(
        self,
        index: int,
        stage: Stage,
        steps: int,
        streams: Streams,
        moving: Sequence[nn.Parameter],
        found: tuple[Position, dict[str, torch.Tensor]] | None,
    ) -> None:
        options = self.job.options
        owned = list(self.module.owned.parameters())
        balanced = list(self.balancing.parameters()) if self.balancing is not None else []
        optimizer = build_optimizer(stage.groups, [*owned, *balanced], self.parameters, options)
        schedule = Schedule(optimizer, options, steps)
        done = 0
        if found is not None:
            done = found[0].step
            self.done += done
            restore_optimizer(optimizer, found[1], "optimizer.")
            streams.load_state_dict(found[0].streams)
            torch.set_rng_state(found[1]["rng"])
        wrapped, optimizer = self.runtime.prepare(self.module, optimizer)
        evaluate_every = self._interval(steps)
        while done < steps:
            schedule.apply(done)
            batches = [streams.next() for _ in range(options.accumulate)]
            losses, weights = self.stepper.step(
                wrapped, batches, optimizer, moving, self.done, self.total
            )
            self._tell(stage, losses, weights, optimizer.param_groups[0]["lr"])
            done += 1
            self.done += 1
            if evaluate_every and done % evaluate_every == 0 and self._stop_after_evaluation():
                self.done += steps - done
                return
            stopping = self.runtime.any(self.interrupt.asked)
            if stopping or self._due(done):
                self._save(index, done, streams, optimizer)
            if stopping:
                raise KeyboardInterrupt

    def _tell(
        self,
        stage: Stage,
        losses: Mapping[str, float],
        weights: Mapping[str, float],
        rate: float,
    ) -> None:
        """Tell callbacks and tracker of the step that was just done."""
        report = StepReport(stage.name, self.done + 1, self.total, losses, weights, rate)
        for callback in self.callbacks:
            callback.on_step(report)
        named = {f"loss/{name}": value for name, value in losses.items()}
        named |= {f"weight/{name}": value for name, value in weights.items()}
        self.runtime.log({**named, "learning_rate": rate}, self.done + 1)

    def _interval(self, steps: int) -> int:
        """Steps between evaluations in this stage; 0 for none."""
        options = self.job.options
        wanted = options.evaluations or options.patience
        if self.job.criterion is None and not (self.job.validates and wanted):
            return 0
        count = options.evaluations or max(1, round(options.epochs))
        return max(1, steps // count)

    def _stop_after_evaluation(self) -> bool:
        """Score the weights of now; whether patience has run out."""
        scores, score = scores_now(self.job, self.feeds)
        self.history.append({"step": float(self.done), **scores})
        for callback in self.callbacks:
            callback.on_evaluation(self.done, scores)
        self.runtime.log({f"validation/{key}": value for key, value in scores.items()}, self.done)
        if self.selection is None:
            return False
        self.selection.offer(score, self.chosen)
        return self.runtime.any(self.selection.exhausted)

    def _due(self, done: int) -> bool:
        options = self.job.options
        by_steps = options.checkpoint_steps is not None and done % options.checkpoint_steps == 0
        by_time = time.monotonic() - self.saved >= options.checkpoint_seconds
        return self.folder is not None and self.runtime.any(by_steps or by_time)

    def _save(
        self,
        stage: int,
        step: int,
        streams: Streams,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        if self.folder is None:
            return
        self.saved = time.monotonic()
        position = Position(
            job=self.job.fingerprint,
            stage=stage,
            step=step,
            streams=streams.state_dict(),
            history=self.history,
            best=None if self.selection is None else self.selection.best,
            stale=0 if self.selection is None else self.selection.stale,
            seconds=self.saved - self.began,
        )
        tensors = pack(self.module, self.balancing, self.selection, optimizer)
        if self.runtime.is_main:
            save_checkpoint(self.folder, position, tensors)
        self.runtime.wait()

    def _restore(self, position: Position, tensors: Mapping[str, torch.Tensor]) -> None:
        unpack(self.module, self.balancing, self.selection, position, tensors)
        self.history = list(position.history)
        self.began -= position.seconds
        for callback in self.callbacks:
            callback.on_notice(f"resuming at step {position.step} of stage {position.stage + 1}")
