"""What a run is made of, before any of it has happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transfuse.balancing import Balancer
from transfuse.models import Answers, Engine, Inputs, Network, Store
from transfuse.objectives import Facts, Objective, StreamTask, rows_of
from transfuse.tasks import Task
from transfuse.training.options import Training
from transfuse.tuning import Stage

__all__ = ["Criterion", "Job", "StreamData"]


@dataclass(frozen=True)
class StreamData:
    """The rows of one stream."""

    inputs: Inputs
    targets: NDArray[np.generic] | None = None
    """What the stream's task made of the labels; None for unlabelled rows."""

    weights: NDArray[np.float32] | None = None
    """What each row counts in the mean of a loss; None where all count the same."""

    vectors: NDArray[np.float32] | None = None
    """What stands in place of the encoder's pooled vectors, [rows, d]. Default: nothing."""

    variants: tuple[Inputs, ...] = ()
    """The same rows with their texts varied, once for each epoch in turn."""

    answers: Mapping[str, Answers] = field(default_factory=dict)
    """What teachers said of the rows, by the question's name."""

    def facts(self, task: StreamTask | None) -> Facts:
        """What objectives may know of the stream before training begins."""
        return Facts(
            rows=len(self.inputs),
            targets=self.targets,
            task=task,
            widths={name: answers.width for name, answers in self.answers.items()},
            answers={
                name: answers.vectors
                for name, answers in self.answers.items()
                if answers.vectors is not None
            },
        )


@dataclass(frozen=True)
class Criterion:
    """What chooses among the weights of a run when the target's labels may not."""

    name: str
    """A score of `LABEL_FREE`."""

    unlabelled: StreamData
    """Rows of the target's domain."""

    task: Task
    """The target's task."""

    head: str
    source: StreamData | None = None
    """Labelled source rows that no objective reads, for a score that needs them."""

    oracle: StreamData | None = None
    """Labelled target rows. They never choose: they tell what the choice has cost."""


@dataclass(frozen=True)
class Job:
    """One run: a prepared network, what moves, what is learned and on what rows."""

    network: Network
    stages: tuple[Stage, ...]
    objectives: tuple[Objective, ...]
    balancer: Balancer
    options: Training
    streams: Mapping[str, StreamData]
    """The rows that objectives read, by the stream's name without a view."""

    tasks: Mapping[str, StreamTask]
    """The task of each of these streams."""

    seed: int
    engine: Engine
    """The arithmetic of training."""

    encode_engine: Engine
    """The arithmetic of frozen layers and of scoring."""

    store: Store
    fingerprint: str
    """Names the job, so that a checkpoint is never resumed by another."""

    validation: StreamData | None = None
    """Labelled rows for early stopping and for the penalty of a solved probe."""

    validation_task: StreamTask | None = None

    validations: Mapping[str, tuple[StreamData, StreamTask]] = field(default_factory=dict)
    """With several tasks, the labelled rows of each, for early stopping: their mean score counts.
    """

    criterion: Criterion | None = None
    """What chooses the epoch without labels of the target. Default: the validation rows do."""

    @property
    def clock(self) -> tuple[str, ...]:
        """The streams whose rows make an epoch: those of the first objective that reads any."""
        first = next(each for each in self.objectives if each.streams)
        return tuple(dict.fromkeys(rows_of(name) for name in first.streams))

    @property
    def validates(self) -> bool:
        """Whether there are labelled rows to choose among weights by."""
        return self.validation is not None or bool(self.validations)

    @property
    def facts(self) -> dict[str, Facts]:
        """What is known of each stream."""
        return {name: data.facts(self.tasks.get(name)) for name, data in self.streams.items()}
