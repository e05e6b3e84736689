"""Recovery: a smaller network learns to answer as the one that it was cut out of.

It is distillation by the training loop, the objectives and the teachers of every other run.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict

from transfuse.answering import ModelFolder, Tell
from transfuse.balancing import Fixed
from transfuse.data import Table, seed_for
from transfuse.models import Network, Store, read_inputs
from transfuse.objectives import Distil, Embed, Objective, StreamTask, Target
from transfuse.training import (
    Callback,
    Engines,
    Job,
    StepReport,
    StreamData,
    Teacher,
    Training,
    answer,
    fit,
)
from transfuse.tuning import Full

__all__ = ["RECOVERY", "Recovery", "recover"]

_TEACHER = "the unpruned model"


@dataclass(frozen=True)
class Recovery:
    """How a pruned network learns from the unpruned one, over the rows that both learnt from.

    The losses are labels · (the task's loss) + (1 - labels) · (the divergence from the unpruned
    model's softened probabilities) + hidden · (1 - cosine to its vectors of the rows).
    """

    epochs: float = 3.0
    """Passes over the rows; 0 does not recover. Default: 3."""

    learning_rate: float = 1e-4
    """Peak rate of all weights. Default: 1e-4."""

    temperature: float = 2.0
    """Divides the logits of both, as in the objective `distil`. Default: 2."""

    labels: float = 0.5
    """Weight of the labels against that of the unpruned model's answers, 0 to 1; where there are no
    classes to soften, the labels alone have it. Default: 0.5."""

    hidden: float = 1.0
    """Weight of the distance between the vectors of the rows. Default: 1."""

    batch_size: int = 16
    """Rows of a batch. Default: 16."""

    max_steps: int | None = None
    """Steps at the most. Default: no bound."""

    # A misspelt option is an error, also inside the options of a stage.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", use_attribute_docstrings=True
    )

    def __post_init__(self) -> None:
        if not 0 <= self.epochs < math.inf:
            raise ValueError("epochs is 0 or above")
        for name in ("learning_rate", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a number above 0")
        if not 0 <= self.labels <= 1:
            raise ValueError("labels lies in [0, 1]")
        if not 0 <= self.hidden < math.inf:
            raise ValueError("hidden is 0 or above")
        if self.batch_size < 1 or (self.max_steps is not None and self.max_steps < 1):
            raise ValueError("batch_size and max_steps are at least 1")


RECOVERY = Recovery()
"""The recovery of every pruning that is not told otherwise."""


class _Progress(Callback):
    """Hands steps on."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def on_step(self, report: StepReport) -> None:
        self._tell("recovering", report.step, report.steps)


def recover(
    network: Network,
    folder: ModelFolder,
    table: Table,
    options: Recovery,
    seed: int,
    tell: Tell,
    *,
    engines: Engines | None = None,
    store: Store | None = None,
) -> dict[str, Any]:
    """Train a pruned network in place to answer as the unpruned one.

    Hinton, Vinyals and Dean (2015), 'Distilling the knowledge in a neural network'
    (arXiv:1503.02531); for pruned language models see Muralidharan et al. (2024), 'Compact
    language models via pruning and knowledge distillation' (arXiv:2407.14679).

    Args:
        network: The pruned network; it is changed.
        folder: The unpruned model, which stays as it is; its network has the same head.
        table: Labelled rows that both learn from.
        options: How.
        seed: Seed of dropout and of the order of rows.
        tell: Hears each step.
        engines: The arithmetic. Default: what the probe finds fastest here.
        store: Where the unpruned model's answers are kept. Default: the cache folder.

    Returns:
        What happened, for people: steps and seconds; nothing where it was switched off.

    Raises:
        DataError: If a label is not one of the task's.
        TrainingError: If training fails.
    """
    if options.epochs == 0 or not len(table):
        return {}
    objectives = _objectives(options, folder)
    if not objectives:
        return {}
    engines, store = engines or Engines(), store or Store()
    fitted = fit(
        _job(network, folder, table, options, objectives, seed, engines, store),
        callbacks=[_Progress(tell)],
    )
    network.zero_grad()
    network.eval()
    return {
        "rows": len(table),
        "steps": fitted.steps,
        "seconds": round(fitted.seconds, 2),
        "losses": {each.names[0]: each.weight_at(0.0) for each in objectives},
    }


def _objectives(options: Recovery, folder: ModelFolder) -> tuple[Objective, ...]:
    """What is learnt, without what counts for nothing."""
    softened = folder.task.kind == "classification"
    labels = options.labels if softened else 1.0
    wanted: list[Objective] = [Target(weight=labels)]
    if softened:
        wanted.append(
            Distil(_TEACHER, 1 - labels, temperature=options.temperature, stream="target")
        )
    wanted.append(Embed(_TEACHER, options.hidden, stream="target", loss="cosine"))
    return tuple(each for each in wanted if each.weight_at(0.0) > 0)


def _job(
    network: Network,
    folder: ModelFolder,
    table: Table,
    options: Recovery,
    objectives: tuple[Objective, ...],
    seed: int,
    engines: Engines,
    store: Store,
) -> Job:
    teacher = folder.model
    assert isinstance(teacher, Network)
    task, inputs = folder.task, read_inputs(network.encoder, table.inputs(network.encoder.reads))
    targets = task.targets(table)
    weights = task.weights(targets)
    known = StreamTask(task, folder.head, None if weights is None else torch.from_numpy(weights))
    asked = Teacher(_TEACHER, teacher.encoder, teacher, folder.head, task.label_names)
    answers = {
        question.name: answer(
            question,
            asked,
            known,
            (network.encoder, inputs),
            table.inputs,
            store,
            engines.encode,
        )
        for objective in objectives
        for question in objective.questions
    }
    return Job(
        network=network,
        stages=Full(options.learning_rate, options.learning_rate).stages(network),
        objectives=objectives,
        balancer=Fixed(),
        options=Training(
            epochs=options.epochs, batch_size=options.batch_size, max_steps=options.max_steps
        ),
        streams={"target": StreamData(inputs, targets, answers=answers)},
        tasks={"target": known},
        seed=seed_for(seed, "recovery"),
        engine=engines.training("auto", network.encoder),
        encode_engine=engines.encode,
        store=store,
        fingerprint="recovery",
    )
