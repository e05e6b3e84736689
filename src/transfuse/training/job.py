"""What a run is made of, before any of it has happened."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfuse.balancing import Balancer
from transfuse.models import Engine, Inputs, Network, Store
from transfuse.objectives import Objective, StreamTask
from transfuse.training.options import Training
from transfuse.training.step import streams_of
from transfuse.tuning import Stage

__all__ = ["Job", "StreamData"]


@dataclass(frozen=True)
class StreamData:
    """The rows of one stream."""

    inputs: Inputs
    targets: NDArray[np.generic] | None = None
    """What the stream's task made of the labels; None for unlabelled rows."""


@dataclass(frozen=True)
class Job:
    """One run: a prepared network, what moves, what is learned and on what rows."""

    network: Network
    stages: tuple[Stage, ...]
    objectives: tuple[Objective, ...]
    balancer: Balancer
    options: Training
    streams: Mapping[str, StreamData]
    """The rows of every stream that an objective reads."""

    tasks: Mapping[str, StreamTask]
    """The task of every labelled stream."""

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

    @property
    def clock(self) -> str:
        """The stream whose rows make an epoch: the first that an objective reads."""
        return streams_of(self.objectives)[0]
