"""The class of every place in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfuse.data.schema import Role
from transfuse.errors import DataError, Problem
from transfuse.models import Encoder, Head
from transfuse.models.scenes import Pyramid, SegmentationHead, levels_of, seeing_all
from transfuse.tasks.base import Task, weighted_mean
from transfuse.tasks.scenes.answers import mean_over_answers
from transfuse.tasks.scenes.targets import UNLABELLED, decode_mask, encode_masks

__all__ = ["Segmentation"]


@dataclass(frozen=True)
class Segmentation(Task):
    """The class of each cell of a grid over the picture."""

    labels: tuple[str, ...] = ()
    """Names of the classes in the order of their numbers in the masks. Default: class 0, class 1
    and so on, as many as the training masks have."""

    grid: int = 64
    """Rows and columns of the grid on which masks are learnt, told and measured. Default: 64."""

    levels: int = 3
    """How many feature maps of the encoder are read, from the coarsest on. Default: 3."""

    width: int = 128
    """Length of the vector of each place, between the maps and the classes. Default: 128."""

    dice: float = 1.0
    """Weight of the Dice loss beside the cross-entropy (Milletari et al., 2016,
    arXiv:1606.04797). Default: 1."""

    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs each class by n / (classes * cells of the class). Default: none."""

    kind = "segmentation"
    problem_type = None
    answers = Role.MASK
    metrics = ("miou", "pixel_accuracy")
    primary = "miou"

    def __post_init__(self) -> None:
        if self.grid < 1 or self.levels < 1 or self.width < 1:
            raise ValueError("grid, levels and width are 1 or more")
        if self.dice < 0:
            raise ValueError("dice is 0 or above")

    @property
    def outputs(self) -> int:
        """For each class the cells of the grid."""
        return len(self.labels) * self.grid**2

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.labels

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Count the classes, unless the recipe named them."""
        if self.labels:
            return self
        seen = np.zeros(256, np.bool_)
        for value in values:
            seen[decode_mask(value)] = True
        seen[UNLABELLED] = False
        if seen.sum() < 2:
            raise DataError(Problem(where, "the masks hold fewer than two classes", "two or more"))
        count = int(np.flatnonzero(seen).max()) + 1
        return replace(self, labels=tuple(f"class {number}" for number in range(count)))

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.uint8]:
        """The class of each cell, uint8 [n, grid * grid]; see `encode_masks`."""
        return encode_masks(values, len(self.labels), self.grid, where)

    def classes(self, targets: NDArray[Any]) -> list[frozenset[str]]:
        """The classes that a picture shows on the grid."""
        return [
            frozenset(self.labels[each] for each in np.unique(row).tolist() if each != UNLABELLED)
            for row in targets
        ]

    def head(self, encoder: Encoder, dim: int, dropout: float, seed: int) -> Head:
        """One small network for every place of a `Pyramid`; see `SegmentationHead`."""
        return SegmentationHead(
            levels_of(encoder), self.labels, self.grid, width=self.width, dropout=dropout, seed=seed
        )

    def viewed(self, encoder: Encoder) -> Encoder:
        """The encoder's feature maps side by side."""
        return Pyramid(seeing_all(encoder), self.levels)

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
        """Cross-entropy of the labelled cells, and 1 - Dice of the classes of each picture.

        Of several answers each counts alike.
        """
        options: dict[str, Any] = {"smoothing": smoothing, "gamma": gamma, "weights": weights}
        return weighted_mean(
            mean_over_answers(logits, lambda one: self._losses(one, targets, **options)),
            row_weights,
        )

    def _losses(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        smoothing: float,
        gamma: float,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        """The loss of each picture, [n]."""
        said = logits.float().unflatten(1, (len(self.labels), -1))
        known = targets != UNLABELLED
        classes = torch.where(known, targets, 0).long()
        losses = functional.cross_entropy(
            said, classes, reduction="none", label_smoothing=smoothing
        )
        chances = said.softmax(1)
        if gamma:
            losses = losses * (1 - chances.gather(1, classes[:, None]).squeeze(1)) ** gamma
        shares = known.float() if weights is None else known * weights[classes]
        rows = (losses * shares).sum(1) / shares.sum(1).clamp(min=1e-6)
        if self.dice:
            rows = rows + self.dice * _dice_loss(chances, classes, known)
        return rows

    def weights(self, targets: NDArray[Any]) -> NDArray[np.float32] | None:
        """By n / (classes * cells of the class); a class without cells weighs nothing."""
        if self.class_weights == "none":
            return None
        cells = np.bincount(targets[targets != UNLABELLED], minlength=len(self.labels))
        weights = np.divide(
            cells.sum(), len(self.labels) * cells, out=np.zeros(len(cells)), where=cells > 0
        )
        found: NDArray[np.float32] = weights.astype(np.float32)
        return found

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes in each cell, [n, classes, grid * grid]."""
        said: torch.Tensor = logits.float().unflatten(1, (len(self.labels), -1))
        return said.softmax(1)

    def decode(self, scores: NDArray[Any]) -> list[dict[str, float]]:
        """The share of the picture that each class has, the largest first."""
        told = []
        for one in scores:
            cells = np.bincount(one.argmax(axis=0), minlength=len(self.labels)) / one.shape[1]
            order = [place for place in np.argsort(-cells, kind="stable") if cells[place] > 0]
            told.append({self.labels[place]: float(cells[place]) for place in order})
        return told


def _dice_loss(chances: torch.Tensor, classes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """1 - Dice, mean over the classes that a picture shows, [n]."""
    true = functional.one_hot(classes, chances.shape[1]).transpose(1, 2) * known[:, None]
    said = chances * known[:, None]
    shared, both = (said * true).sum(2), (said + true).sum(2)
    shown = (true.sum(2) > 0).float()
    apart = 1 - (2 * shared + 1) / (both + 1)
    return (apart * shown).sum(1) / shown.sum(1).clamp(min=1)
