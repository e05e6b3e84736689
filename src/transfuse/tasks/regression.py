"""One number for each row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.errors import DataError, Problem
from transfuse.tasks.base import Task, weighted_mean

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression(Task):
    """One number for each row, learnt on its standardised scale."""

    mean: float | None = None
    """Mean of the training labels, which the head's 0 stands for. Default: measured."""

    deviation: float | None = None
    """Standard deviation of the training labels, the head's 1. Default: measured."""

    kind = "regression"
    problem_type = "regression"
    metrics = ("r2", "rmse", "mae", "pearson")
    primary = "r2"

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """The one output's name."""
        return ("value",)

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Measure the scale of the labels, unless the recipe gave it."""
        numbers = self.encode(values, where)
        if len(numbers) < 2 or float(numbers.std()) == 0.0:
            raise DataError(
                Problem(where, "the labels have no spread", "at least two different numbers")
            )
        return replace(
            self,
            mean=float(numbers.mean()) if self.mean is None else self.mean,
            deviation=float(numbers.std()) if self.deviation is None else self.deviation,
        )

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.float32]:
        """The labels as numbers on their own scale, [n] float32."""
        numbers = np.empty(len(values), dtype=np.float32)
        problems = []
        for row, value in enumerate(values):
            try:
                numbers[row] = float(value)
            except (TypeError, ValueError):
                numbers[row] = np.nan
            if not np.isfinite(numbers[row]):
                problems.append(
                    Problem(f"{where}, row {row + 1}", f"the label {value!r}", "a finite number")
                )
        if problems:
            raise DataError(problems[:20])
        return numbers

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
        """Squared error in standard deviations; smoothing and gamma do not apply."""
        assert self.mean is not None
        assert self.deviation is not None
        scaled = (targets - self.mean) / self.deviation
        return weighted_mean((logits.float().squeeze(-1) - scaled).square(), row_weights)

    def weights(self, targets: NDArray[Any]) -> None:
        """None: numbers have no classes."""

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Predicted values on the labels' own scale, [n, 1]."""
        assert self.mean is not None
        assert self.deviation is not None
        return logits.float() * self.deviation + self.mean

    def decode(self, scores: NDArray[Any]) -> list[float]:
        """The predicted numbers."""
        return [float(value) for value in scores[:, 0]]
