"""Any number of labels for each row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfuse.errors import DataError, Problem
from transfuse.tasks.base import Task, label_name, weighted_mean
from transfuse.tasks.classification import class_names, unknown_labels

__all__ = ["MultiLabel"]


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


@dataclass(frozen=True)
class MultiLabel(Task):
    """Any number of labels for each row, none included."""

    labels: tuple[str, ...] = ()
    """Names of the labels in the order of the outputs. Default: those of the training rows."""

    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each label's positive rows by its negative ones. Default: none."""

    kind = "multilabel"
    problem_type = "multi_label_classification"
    metrics = ("micro_f1", "label_macro_f1", "subset_accuracy", "hamming_loss")
    primary = "micro_f1"

    @property
    def outputs(self) -> int:
        """The number of labels."""
        return len(self.labels)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self.labels

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Read the label names, unless the recipe gave them."""
        if self.labels:
            self.encode(values, where)
            return self
        found = class_names([label for value in values for label in _listed(value)])
        if not found:
            raise DataError(Problem(where, "no row has a label", "rows with lists of labels"))
        return replace(self, labels=found)

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.float32]:
        """One column per label, 1 where the row has it, [n, labels] float32."""
        number = {name: index for index, name in enumerate(self.labels)}
        encoded = np.zeros((len(values), self.outputs), dtype=np.float32)
        unknown: Counter[str] = Counter()
        for row, value in enumerate(values):
            for label in _listed(value):
                name = label_name(label)
                if name in number:
                    encoded[row, number[name]] = 1.0
                else:
                    unknown[name] += 1
        if unknown:
            raise unknown_labels(unknown, self.labels, where)
        return encoded

    def classes(self, targets: NDArray[Any]) -> list[frozenset[str]]:
        """The labels that a row has."""
        return [
            frozenset(name for name, has in zip(self.labels, row, strict=True) if has)
            for row in targets.tolist()
        ]

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
        """Binary cross-entropy, mean over rows and labels."""
        logits = logits.float()
        soft = targets * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(
            logits, soft, reduction="none", pos_weight=weights
        )
        if gamma:
            chance = logits.sigmoid()
            true_share = chance * targets + (1 - chance) * (1 - targets)
            losses = losses * (1 - true_share) ** gamma
        return weighted_mean(losses.mean(-1), row_weights)

    def weights(self, targets: NDArray[Any]) -> NDArray[np.float32] | None:
        """Negative rows over positive rows of each label; 1 for a label without positive rows."""
        if self.class_weights == "none":
            return None
        positive = targets.sum(0)
        weights: NDArray[np.float64] = np.divide(
            len(targets) - positive, positive, out=np.ones(self.outputs), where=positive > 0
        )
        return weights.astype(np.float32)

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probability of each label, [n, labels]."""
        return logits.float().sigmoid()

    def decode(self, scores: NDArray[Any]) -> list[list[str]]:
        """The names of the labels that are as likely as not, or more."""
        return [
            [name for name, score in zip(self.labels, row, strict=True) if score >= 0.5]
            for row in scores
        ]
