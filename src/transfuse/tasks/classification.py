"""One label of several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfuse.errors import DataError, Problem
from transfuse.recipe.methods import nearest
from transfuse.tasks.base import Task, label_name, weighted_mean

__all__ = ["Classification", "class_names", "unknown_labels"]


def class_names(values: Sequence[Any]) -> tuple[str, ...]:
    """The distinct labels in a stable order: by number where all are numbers, else by name."""
    names = {label_name(value) for value in values}
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def unknown_labels(unknown: Counter[str], known: Sequence[str], where: str) -> DataError:
    """The error for labels that the task was not fitted on, all of them at once."""
    return DataError(
        Problem(
            f"{where}, label {name!r}",
            f"{count} row{'s' if count > 1 else ''} with a label that training never saw",
            "one of " + ", ".join(repr(label) for label in known[:20]),
            f"{nearest(name, known)} Or drop these rows, or train on some of this label.",
        )
        for name, count in unknown.most_common(20)
    )


@dataclass(frozen=True)
class Classification(Task):
    """One label of several for each row."""

    labels: tuple[str, ...] = ()
    """Names of the classes in the order of the outputs. Default: those of the training rows."""

    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each class by n / (classes * rows of the class). Default: none."""

    kind = "classification"
    problem_type = "single_label_classification"
    metrics = (
        "accuracy",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "log_loss",
        "ece",
    )
    primary = "accuracy"

    @property
    def outputs(self) -> int:
        """The number of classes."""
        return len(self.labels)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.labels

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Read the class names, unless the recipe gave them."""
        found = class_names(values)
        if self.labels:
            self.encode(values, where)
            return self
        if len(found) < 2:
            what = f"only one class, {found[0]!r}" if found else "no labelled rows"
            raise DataError(
                Problem(
                    where,
                    what,
                    "at least two classes",
                    "Add rows of another class, or check `label`.",
                )
            )
        if len(values) < len(found):
            raise DataError(
                Problem(
                    where, f"{len(values)} rows for {len(found)} classes", "a row of each class"
                )
            )
        return replace(self, labels=found)

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.int64]:
        """Class numbers, [n] int64."""
        number = {name: index for index, name in enumerate(self.labels)}
        names = [label_name(value) for value in values]
        unknown = Counter(name for name in names if name not in number)
        if unknown:
            raise unknown_labels(unknown, self.labels, where)
        return np.array([number[name] for name in names], dtype=np.int64)

    def classes(self, targets: NDArray[Any]) -> list[frozenset[str]]:
        """The one class of a row."""
        return [frozenset((self.labels[each],)) for each in targets.tolist()]

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
        """Cross-entropy, softened and focused as asked; the mean is taken over the weights."""
        logits = logits.float()
        losses = functional.cross_entropy(
            logits, targets, reduction="none", label_smoothing=smoothing
        )
        if gamma:
            true_share = logits.softmax(-1).gather(1, targets[:, None]).squeeze(1)
            losses = losses * (1 - true_share) ** gamma
        if weights is not None:
            shares = weights[targets]
            row_weights = shares if row_weights is None else shares * row_weights
        return weighted_mean(losses, row_weights)

    def weights(self, targets: NDArray[Any]) -> NDArray[np.float32] | None:
        """By n / (classes * rows of the class); a class without rows weighs nothing."""
        if self.class_weights == "none":
            return None
        rows = np.bincount(targets, minlength=self.outputs)
        weights = np.divide(
            len(targets), self.outputs * rows, out=np.zeros(self.outputs), where=rows > 0
        )
        return weights.astype(np.float32)

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes, [n, classes]."""
        return logits.float().softmax(-1)

    def decode(self, scores: NDArray[Any]) -> list[str]:
        """The name of the most probable class."""
        return [self.labels[index] for index in scores.argmax(-1)]
