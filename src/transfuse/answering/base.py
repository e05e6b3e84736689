"""What answers: rows in, scores out, kept in a folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from transfuse.data import Role
from transfuse.models import Network
from transfuse.tasks import Task

__all__ = ["Answerer", "Kept", "Member", "Open"]


class Member(Protocol):
    """A model that another is made of: an opened model folder."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def task(self) -> Task:
        """What it answers."""

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of the columns that it reads."""

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Calibrated probabilities (or values) for rows, [n, outputs]."""


Open = Callable[[Path], Member]
"""Opens a model folder that lies within another."""


class Answerer(ABC):
    """A model that is no network of ours, as a model folder keeps it."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """The number of its parameters."""

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of the columns that it reads. Default: text."""
        return (Role.TEXT,)

    @abstractmethod
    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Probabilities (or values) for rows, [n, outputs], before temperature scaling.

        Args:
            rows: What `Table.inputs` gives for the roles of `reads`; texts, where that is text.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model into a folder.

        Args:
            folder: The folder, which is there.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """Read what `save` wrote.

        Args:
            folder: The folder.
            open_member: Opens the folders of the models that this one is made of.
        """


Kept = Network | Answerer
"""What a model folder can hold."""
