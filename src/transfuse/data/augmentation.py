"""What an augmentation is, whatever it varies."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from transfuse.data.schema import Role

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation(ABC):
    """A way to vary a row without changing its label."""

    reads: ClassVar[Role] = Role.TEXT
    """The role of the columns that it varies."""

    @abstractmethod
    def __call__(self, row: Any, rng: np.random.Generator) -> Any:
        """Varies a row.

        Args:
            row: A text; of a picture its colours, float32 [H, W, 3] from 0 to 1.
            rng: Decides what changes; the same state gives the same result.

        Returns:
            A row with the same label, perhaps the same row.
        """
