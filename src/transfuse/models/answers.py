"""What a teacher said of each row, ready to be put into batches."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.models.stored import StoredFeatures

__all__ = ["Answers"]


@dataclass(frozen=True)
class Answers:
    """One answer a row: a vector, or a vector for each token.

    Args:
        values: float32 [rows, width], or token vectors as the store keeps them.
    """

    values: NDArray[np.float32] | StoredFeatures

    @property
    def width(self) -> int:
        """The length of the vectors."""
        return int(self.values.shape[-1])

    @property
    def vectors(self) -> NDArray[np.float32] | None:
        """The answers as one matrix, where each is one vector."""
        return None if isinstance(self.values, StoredFeatures) else self.values

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The answers to some rows, float32 [n, width], or [n, T, width] padded with zeros."""
        if isinstance(self.values, StoredFeatures):
            return self.values.batch(rows)[0]
        return torch.from_numpy(self.values[rows])
