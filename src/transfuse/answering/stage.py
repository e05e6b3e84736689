"""After training: a stage is a function from models to a model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from transfuse.answering.base import Kept
from transfuse.answering.folder import ModelFolder
from transfuse.data import Role, Table
from transfuse.tasks import Task

__all__ = ["Evidence", "Made", "Stage", "Tell"]


class Tell(Protocol):
    """Hears how far long work has come."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Told after each step.

        Args:
            what: What is being done.
            done: Steps that are done.
            total: Steps in all.
        """


@dataclass(frozen=True)
class Evidence:
    """The labelled rows that a stage may look at; those that it is judged by are not here.

    Args:
        train: Rows that the models learnt from: to fit, recover and calibrate on.
        validation: Rows that no model learnt from: to choose by.
    """

    train: Table
    validation: Table


@dataclass(frozen=True)
class Made:
    """What a stage has made.

    Args:
        model: The model.
        task: What it answers.
        told: What the stage found out on the way, as JSON can hold it. Default: nothing.
    """

    model: Kept
    task: Task
    told: Mapping[str, Any] = field(default_factory=dict)


class Stage(ABC):
    """A frozen dataclass of options with a way from models to a model."""

    least: ClassVar[int] = 1
    """Models that it needs. Default: 1."""

    most: ClassVar[int | None] = 1
    """Models that it takes at the most; None for any number. Default: 1."""

    must_read: ClassVar[tuple[Role, ...] | None] = None
    """What its models must read. Default: whatever they read."""

    learns: ClassVar[bool] = True
    """Whether the training rows shape what it makes, so that the model has seen them. Default:
    yes."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files that it reads beside the models and the rows. Default: none."""
        return ()

    @abstractmethod
    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """Make a model of models.

        Args:
            models: The opened models; they stay as they are.
            evidence: Rows to fit on and to choose by.
            seed: Seed of all randomness.
            tell: Hears how far it has come.

        Returns:
            The new model, in memory or on scratch files of its own.

        Raises:
            ModelError: If the models do not go together, or the stage cannot express them.
            DataError: If the rows do not suffice.
        """
