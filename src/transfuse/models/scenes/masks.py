"""A class for every place: SegFormer's decode head over any encoder's maps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from transfuse.models.scenes.base import PlacesHead
from transfuse.models.scenes.pyramid import Level

__all__ = ["SegmentationHead"]


class SegmentationHead(PlacesHead):
    """Linear layers at each place (Xie et al., 2021, arXiv:2105.15203), then the grid.

    Args:
        levels: The maps, from the coarsest on.
        labels: Names of the classes.
        grid: Rows and columns of the answer.
        width: Length of a place's vector. Default: 128.
        dropout: Share of its entries dropped in training. Default: 0.
        seed: Seed of the weights. Default: 0.
    """

    mixer: nn.Module
    classifier: nn.Module

    def __init__(
        self,
        levels: Sequence[Level],
        labels: Sequence[str],
        grid: int,
        *,
        width: int = 128,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(levels, labels, width, dropout)
        self.grid = grid
        self.outputs = len(labels) * grid**2
        self.start(seed)

    @property
    def options(self) -> dict[str, Any]:
        """See `PlacesHead.options`."""
        return {"grid": self.grid, "width": self.width, "dropout": self.dropout.p}

    def build(self) -> dict[str, nn.Module]:
        """See `PlacesHead.build`."""
        mixer = nn.Sequential(
            nn.GELU(),
            nn.Conv2d(self.width, self.width, 3, padding=1),
            nn.GELU(),
        )
        return {"mixer": mixer, "classifier": nn.Conv2d(self.width, len(self.labels or ()), 1)}

    def answer(self, places: torch.Tensor) -> torch.Tensor:
        """See `PlacesHead.answer`: class by class, row by row of the grid."""
        logits = self.classifier(self.mixer(places))
        size = (self.grid, self.grid)
        return functional.interpolate(logits, size, mode="bilinear").flatten(1)
