"""The interface of a task.

A task is a frozen dataclass of options. `fit` gives back the same task with what it read from the
training labels (the names of the classes), so that a fitted task is still a plain value that a
model folder can keep.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.data import Role, Table
from transfuse.models import Encoder, Head, ProblemType

__all__ = ["Task", "label_name", "weighted_mean"]


def label_name(value: Any) -> str:
    """The name of a class: `3` and `3.0` are one class, as they are one number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


@dataclass(frozen=True)
class Task(ABC):
    """What a prediction is."""

    kind: ClassVar[str]
    """Which metrics apply: classification, multilabel, regression, detection or segmentation."""

    answers: ClassVar[Role] = Role.LABEL
    """The role of the column that holds the right answers."""

    problem_type: ClassVar[ProblemType | None]
    """The name that Hugging Face configurations use for the same thing; None if they have none."""

    metrics: ClassVar[tuple[str, ...]]
    """The names of the metrics that a scorecard holds, in the order of display."""

    primary: ClassVar[str]
    """The metric that comparisons are made on."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the head gives for a row."""

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""

    @abstractmethod
    def fit(self, values: Sequence[Any], where: str) -> Self:
        """The task with what must be read from the training labels.

        Args:
            values: The labels as they stand in the table.
            where: The table's name, for errors.

        Raises:
            DataError: If nothing can be learnt from these labels, for instance one class only.
        """

    def answered(self, table: Table) -> bool:
        """Whether a table says what is right for its rows."""
        return table.schema.has(self.answers)

    def values(self, table: Table) -> Sequence[Any]:
        """What `fit` and `encode` read of each row of a table.

        Raises:
            DataError: If no column has the role in `answers`.
        """
        return table.answers(self.answers)

    def targets(self, table: Table) -> NDArray[Any]:
        """What `encode` makes of a table's rows.

        Raises:
            DataError: If no column has the role in `answers`, or `encode` does not know a value.
        """
        return self.encode(self.values(table), table.name)

    @abstractmethod
    def encode(self, values: Sequence[Any], where: str) -> NDArray[Any]:
        """Labels as the loss wants them.

        Args:
            values: The labels as they stand in the table.
            where: The table's name, for errors.

        Returns:
            One entry (or row) per label.

        Raises:
            DataError: If a label is not one that the task was fitted on.
        """

    def classes(self, targets: NDArray[Any]) -> list[frozenset[str]] | None:
        """The classes that each row has, so that some rows of each can be drawn.

        Args:
            targets: What `encode` gave.

        Returns:
            For each row none, one or several names; None for a task without classes, which is the
            default.
        """
        return None

    @abstractmethod
    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        smoothing: float = 0.0,
        gamma: float = 0.0,
        weights: torch.Tensor | None = None,
        row_weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The mean loss of a batch.

        Args:
            logits: What the head gave, [n, outputs].
            targets: What `encode` gave for these rows.
            smoothing: Share of the target's mass that is spread over all classes. Default: 0.
            gamma: Exponent of the focal loss (Lin et al., 2017, arXiv:1708.02002). Default: 0,
                which is the plain loss.
            weights: Weight of each class, [outputs]. Default: equal.
            row_weights: What each row counts in the mean, [n]. Default: the same.

        Returns:
            A scalar.
        """

    @abstractmethod
    def weights(self, targets: NDArray[Any]) -> NDArray[np.float32] | None:
        """The weight of each class that the task's options ask for, from the training targets."""

    @abstractmethod
    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (or predicted values) from logits, [n, outputs]."""

    def viewed(self, encoder: Encoder) -> Encoder:
        """The encoder as the task's head reads it. Default: as it is.

        Args:
            encoder: The encoder.
        """
        return encoder

    def head(self, encoder: Encoder, dim: int, dropout: float, seed: int) -> Head | None:
        """A fresh head of the task's own. Default: None, a linear layer or the architecture's head.

        Args:
            encoder: What `viewed` gave.
            dim: Length of the vector that heads read, the encoder's or that of a fusion.
            dropout: Share of a vector's entries dropped in training.
            seed: Seed of the weights.
        """
        return None

    @abstractmethod
    def decode(self, scores: NDArray[Any]) -> list[Any]:
        """What a person reads: label names, lists of them, or numbers; one per row."""


def weighted_mean(losses: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The mean of the losses of rows, over the weights where rows have any.

    Args:
        losses: One loss a row, [n].
        weights: What each row counts, [n], or None.
    """
    if weights is None:
        return losses.mean()
    return (losses * weights).sum() / weights.sum()
