"""Answers to held-out labelled rows, which a model folder keeps so that it can say how sure it is.

Prediction sets, intervals and thresholds for 'I don't know' are fitted on them when they are asked
for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

__all__ = ["CALIBRATION", "Calibration"]

CALIBRATION = "calibration.safetensors"
"""The file's name in a model folder."""


@dataclass(frozen=True)
class Calibration:
    """What a model answers to rows that it has not learnt from, and what is true."""

    scores: NDArray[np.floating[Any]]
    """Calibrated probabilities (or values), as `ModelFolder.scores` gives them, [n, outputs]."""

    targets: NDArray[Any]
    """The labels as `Task.encode` gives them, [n] or [n, outputs]."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or len(self.scores) != len(self.targets):
            raise ValueError(
                f"scores {self.scores.shape} and targets {self.targets.shape} do not go together"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def save(self, folder: Path, head: str = "target") -> None:
        """Keep the rows in a model folder, beside those of its other heads.

        Args:
            folder: The folder, which is there.
            head: The head that answered. Default: target, that of a model of one task.
        """
        path = folder / CALIBRATION
        arrays = load_file(path) if path.exists() else {}
        arrays[f"{head}/scores"] = np.array(self.scores, np.float32, order="C")
        arrays[f"{head}/targets"] = np.array(self.targets, order="C")
        save_file(arrays, path)

    @classmethod
    def load(cls, folder: Path, head: str = "target") -> Self | None:
        """What `save` wrote, or None where the folder keeps nothing for this head.

        Args:
            folder: The model folder.
            head: The head that answers. Default: target.
        """
        path = folder / CALIBRATION
        arrays = load_file(path) if path.exists() else {}
        if f"{head}/scores" not in arrays:
            return None
        return cls(arrays[f"{head}/scores"], arrays[f"{head}/targets"])
