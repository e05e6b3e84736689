"""Queries that look for boxes: a small decoder in the style of DETR over any encoder's maps."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from transfuse.models.scenes.base import PlacesHead
from transfuse.models.scenes.pyramid import Level

__all__ = ["DetectionHead"]

_HEADS = 4
_BOX = 4

_FIRST_SIZE = 0.2
"""Side of a box that a query without knowledge finds, as a share of the picture."""


class DetectionHead(PlacesHead):
    """Queries on a grid, each with a class and a box (Carion et al., 2020, arXiv:2005.12872).

    A query begins as the vector of its place in the maps (Zhu et al., 2021, arXiv:2010.04159, in
    its two-stage form) and its box begins there (anchors: Wang et al., 2022, arXiv:2109.07107):
    queries that begin without a place take hundreds of epochs to find one. Decoder layers then let
    queries look at each other, which settles who answers for what, and at all places.

    Args:
        levels: The maps, from the coarsest on.
        labels: Names of the classes.
        grid: Rows and columns of queries.
        width: Length of a query's vector, a multiple of 4. Default: 128.
        layers: Decoder layers. Default: 1.
        dropout: Share of entries dropped in training. Default: 0.
        seed: Seed of the weights. Default: 0.
    """

    mixer: nn.Module
    decoder: nn.ModuleList
    classifier: nn.Module
    boxes: nn.Module

    def __init__(
        self,
        levels: Sequence[Level],
        labels: Sequence[str],
        grid: int,
        *,
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(levels, labels, width, dropout)
        self.grid = grid
        self.layers = layers
        self.outputs = grid**2 * (len(labels) + 1 + _BOX)
        self.start(seed)

    @property
    def options(self) -> dict[str, Any]:
        """See `PlacesHead.options`."""
        return {
            "grid": self.grid,
            "width": self.width,
            "layers": self.layers,
            "dropout": self.dropout.p,
        }

    def build(self) -> dict[str, nn.Module]:
        """See `PlacesHead.build`."""
        decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(
                self.width,
                _HEADS,
                2 * self.width,
                self.dropout.p,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(self.layers)
        )
        boxes = nn.Sequential(
            nn.LayerNorm(self.width),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
            nn.Linear(self.width, _BOX),
        )
        classifier = nn.Sequential(
            nn.LayerNorm(self.width), nn.Linear(self.width, len(self.labels or ()) + 1)
        )
        return {
            "mixer": nn.Conv2d(self.width, self.width, 3, padding=1),
            "decoder": decoder,
            "classifier": classifier,
            "boxes": boxes,
        }

    def answer(self, places: torch.Tensor) -> torch.Tensor:
        """See `PlacesHead.answer`: for each query the classes, no object, and the box's logits."""
        places = places + functional.gelu(self.mixer(functional.gelu(places)))
        centres = _centres(self.grid).to(places)
        memory = places.flatten(2).transpose(1, 2)
        memory = memory + _sines(_centres(places.shape[-1]).to(places), self.width)
        queries = functional.interpolate(places, (self.grid, self.grid), mode="bilinear")
        queries = queries.flatten(2).transpose(1, 2) + _sines(centres, self.width)
        for layer in self.decoder:
            queries = layer(queries, memory)
        anchors = torch.cat([centres, torch.full_like(centres, _FIRST_SIZE)], dim=1).logit()
        found = torch.cat([self.classifier(queries), self.boxes(queries) + anchors], dim=2)
        return found.flatten(1)


def _centres(side: int) -> torch.Tensor:
    """Middle of each place of a square map, across and down as shares of it, [side², 2]."""
    line = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    down, across = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([across.flatten(), down.flatten()], dim=1)


def _sines(centres: torch.Tensor, width: int) -> torch.Tensor:
    """Places as sines and cosines, a half of them across and a half down, [T, width]."""
    rates = 2 * math.pi * 2 ** torch.linspace(0, 6, width // 4).to(centres)
    angles = (centres[:, :, None] * rates).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
