"""The interface of an objective.

An objective is a frozen dataclass of options. It names the streams that it reads and turns the
network's outputs on those streams into named losses. The network runs once for each stream of a
step, whatever the number of objectives that read it. What an objective learns or remembers of its
own (a discriminator, a projection, the weights it started from) lives in the module that `module`
builds, so that it moves between devices, trains and resumes with the network.

A stream is named by its rows (`target`, `source`, `unlabelled`), or by a view of them after a
slash. A view shows the very rows that its step draws for the stream it is of:

- `target/again`: the same rows once more, so that dropout falls otherwise;
- `target/augmented`: the same rows with their texts varied;

but `target/episodes` draws its own rows: some classes, and of each some rows to learn from
(`support`, a boolean of each row in the batch) and some to be asked about.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfuse.data import Episodes
from transfuse.models import Batch, Network, Outputs
from transfuse.tasks import Task

__all__ = ["Facts", "Objective", "Question", "Ramp", "Step", "StreamTask", "rows_of"]


def rows_of(stream: str) -> str:
    """The name of the rows that a stream shows: the stream's own, without a view."""
    return stream.partition("/")[0]


@dataclass(frozen=True)
class Ramp:
    """A weight that moves while training goes on."""

    start: float
    """The weight at the first step."""

    end: float
    """The weight at the last step."""

    shape: Literal["linear", "cosine", "sigmoid"] = "linear"
    """The way from one to the other; `sigmoid` is 2 / (1 + exp(-10 p)) - 1 of the way at the share
    p of training done (Ganin et al., 2016, arXiv:1505.07818). Default: linear."""

    def at(self, progress: float) -> float:
        """The weight at a share of training done, 0 to 1."""
        match self.shape:
            case "linear":
                way = progress
            case "cosine":
                way = (1 - math.cos(math.pi * progress)) / 2
            case "sigmoid":
                way = 2 / (1 + math.exp(-10 * progress)) - 1
        return self.start + (self.end - self.start) * way


@dataclass(frozen=True)
class StreamTask:
    """What is asked about the rows of a stream, whether or not their labels are known."""

    task: Task
    head: str
    """The name of the head that answers for this stream."""

    weights: torch.Tensor | None = None
    """Weight of each class, [outputs]."""


@dataclass(frozen=True)
class Question:
    """What a teacher is asked about every row of a stream, once, before training begins.

    Batches of the stream carry the answers under the question's `name`.
    """

    stream: str
    teacher: str | None
    """A model folder or a model's name; None is the run's own model as it was before training."""

    what: Literal["logits", "features", "tokens"]
    """The teacher's logits [n, outputs], its pooled vectors [n, d], or the vectors of each token
    [n, T, d], padded as the batch is; these need a teacher that cuts texts as the student does."""

    layer: int | None = None
    """For tokens: after how many of the teacher's layers, embeddings counted. Default: all."""

    own_labels: bool = False
    """Whether logits come in the order of the teacher's own labels. Default: in the order of the
    labels of the stream's task, which must be the same ones."""

    @property
    def name(self) -> str:
        """The name of the answers in a batch."""
        place = "" if self.layer is None else f":{self.layer}"
        own = "own " if self.own_labels else ""
        return f"{own}{self.what}{place}@{self.teacher or 'itself'}"


@dataclass(frozen=True)
class Facts:
    """What is known of a stream before training begins."""

    rows: int
    targets: NDArray[Any] | None = None
    """What the task made of the labels; None without labels."""

    task: StreamTask | None = None
    widths: Mapping[str, int] = field(default_factory=dict)
    """Length of each answer's vectors, by the question's name."""

    answers: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Answers that are one vector a row, [rows, width], by the question's name."""


@dataclass(frozen=True)
class Step:
    """What an objective sees of one step."""

    network: Network
    batches: Mapping[str, Batch]
    """The batch of each stream. `rows` are the rows' numbers in the stream, int64 [n]; labelled
    ones have `targets`, and questions their answers under their names."""

    outputs: Mapping[str, Outputs]
    """What the network gave for each stream's batch, where an objective reads outputs of it."""

    tasks: Mapping[str, StreamTask]
    """The task of each stream, views included."""

    progress: float
    """The share of training done, 0 to 1."""

    frozen: int = 0
    """How many of the encoder's layers the batches carry as done."""


@dataclass(frozen=True)
class Objective(ABC):
    """Named losses on named streams of data."""

    def __post_init__(self) -> None:
        ends = self.weight
        for end in (ends.start, ends.end) if isinstance(ends, Ramp) else (ends,):
            # Below 0 a loss would be a gain.
            if not 0 <= end < math.inf:
                raise ValueError("weight is 0 or above")

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """The names of the streams that the losses read."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the losses that it gives."""

    @property
    @abstractmethod
    def weight(self) -> float | Ramp:
        """The weight of this objective's losses in the sum."""

    @property
    def share(self) -> float:
        """Rows of its streams in a batch, for each row that `train.batch_size` allows."""
        return 1.0

    def share_of(self, stream: str, rows: Mapping[str, int]) -> float:
        """The share of one stream, where it depends on the stream.

        Args:
            stream: The stream's name without a view.
            rows: How many rows each stream has.
        """
        return self.share

    @property
    def reads_outputs(self) -> bool:
        """Whether it reads the network's outputs; if not, it runs the network itself."""
        return True

    @property
    def questions(self) -> tuple[Question, ...]:
        """What teachers are asked before training begins."""
        return ()

    @property
    def episodes(self) -> Episodes | None:
        """How the episodes that it reads are drawn."""
        return None

    @property
    def convex(self) -> bool:
        """Whether the losses are convex and deterministic in the head over fixed features.

        Where every objective is, a frozen probe is solved exactly instead of being trained.
        """
        return False

    @property
    def rewrites_encoder(self) -> bool:
        """Whether `finish` changes the encoder, and so has to see rows from their beginning."""
        return False

    def module(self, network: Network, facts: Mapping[str, Facts]) -> nn.Module | None:
        """What the objective learns or remembers, built from the network at the start.

        Args:
            network: The network that will learn.
            facts: What is known of each stream, by name.
        """
        return None

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """What is left to do to the network when its last step is done.

        Args:
            network: The network, in evaluation mode.
            batches: All rows of each of the objective's streams, by the stream's name without a
                view; over a frozen encoder as `pooled` vectors.
        """
        return

    @abstractmethod
    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """The losses of one step by name, each a scalar, not yet weighted.

        Args:
            step: The step's batches and outputs.
            module: What `module` built.
        """

    def weight_of(self, loss: str, progress: float, rows: Mapping[str, int]) -> float:
        """The weight of one loss, where it depends on the loss.

        Args:
            loss: The loss's name.
            progress: The share of training done, 0 to 1.
            rows: How many rows each stream has.
        """
        return self.weight_at(progress)

    def weight_at(self, progress: float) -> float:
        """The weight at a share of training done, 0 to 1."""
        return self.weight.at(progress) if isinstance(self.weight, Ramp) else self.weight
