"""Which things a picture shows, and where."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transfuse.data.schema import Role
from transfuse.errors import DataError, Problem
from transfuse.models import Encoder, Head
from transfuse.models.scenes import DetectionHead, Pyramid, levels_of, seeing_all
from transfuse.tasks.base import Task, weighted_mean
from transfuse.tasks.classification import class_names, unknown_labels
from transfuse.tasks.scenes.answers import mean_over_answers
from transfuse.tasks.scenes.matching import assigned, generalised_iou, match_costs
from transfuse.tasks.scenes.targets import box_labels, encode_boxes

__all__ = ["Detection"]

_BOX = 4


@dataclass(frozen=True)
class Detection(Task):
    """Boxes around things of known classes, any number in each picture."""

    labels: tuple[str, ...] = ()
    """Names of the classes in the order of the outputs. Default: those of the training rows."""

    grid: int = 8
    """Queries are laid over the picture in this many rows and columns; each finds one box at the
    most. Default: 8, so 64 boxes."""

    levels: int = 3
    """How many feature maps of the encoder are read, from the coarsest on. Default: 3."""

    width: int = 128
    """Length of a query's vector. Default: 128."""

    decoder_layers: int = 1
    """Layers in which queries look at the picture and at each other. Default: 1."""

    no_object: float = 0.1
    """Weight of the class of queries that answer for no box. Default: 0.1."""

    box_weight: float = 5.0
    """Weight of the distance of a box's four numbers, in the matching and in the loss. Default:
    5."""

    iou_weight: float = 2.0
    """Weight of the generalised IoU, likewise. Default: 2."""

    threshold: float = 0.5
    """Probability from which on a box is told. Default: 0.5."""

    kind = "detection"
    problem_type = None
    answers = Role.BOXES
    metrics = ("map", "map50", "map75")
    primary = "map"

    def __post_init__(self) -> None:
        if self.grid < 1 or self.levels < 1 or self.width < 4 or self.decoder_layers < 0:
            raise ValueError("grid and levels are 1 or more, width is 4 or more, layers 0 or more")
        if self.width % 4:
            raise ValueError("width is a multiple of 4")
        if not 0 < self.no_object <= 1 or not 0 <= self.threshold < 1:
            raise ValueError("no_object lies in (0, 1] and threshold in [0, 1)")
        if self.box_weight < 0 or self.iou_weight < 0 or self.box_weight + self.iou_weight == 0:
            raise ValueError("box_weight and iou_weight are 0 or above, and not both 0")

    @property
    def queries(self) -> int:
        """How many boxes can be found in a picture."""
        return self.grid**2

    @property
    def outputs(self) -> int:
        """For each query the classes, no object, and the four numbers of a box."""
        return self.queries * (len(self.labels) + 1 + _BOX)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.labels

    def fit(self, values: Sequence[Any], where: str) -> Self:
        """Read the class names, unless the recipe gave them."""
        if self.labels:
            self._check(values, where)
            return self
        found = class_names(list(box_labels(values)))
        if not found:
            raise DataError(Problem(where, "no picture has a box", "boxes to learn from"))
        return replace(self, labels=found)

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.float32]:
        """Class, centre, width and height of each box, float32 [n, M, 5]; see `encode_boxes`."""
        self._check(values, where)
        return encode_boxes(values, self.labels, self.queries, where)

    def classes(self, targets: NDArray[Any]) -> list[frozenset[str]]:
        """The classes that a picture has boxes of; a crowd is none of them."""
        numbers = targets[..., 0].astype(np.int64).tolist()
        return [frozenset(self.labels[each] for each in row if each >= 0) for row in numbers]

    def _check(self, values: Sequence[Any], where: str) -> None:
        counts = box_labels(values)
        unknown = Counter({name: n for name, n in counts.items() if name not in self.labels})
        if unknown:
            raise unknown_labels(unknown, self.labels, where)

    def head(self, encoder: Encoder, dim: int, dropout: float, seed: int) -> Head:
        """Queries over the maps of a `Pyramid`; see `DetectionHead`."""
        return DetectionHead(
            levels_of(encoder),
            self.labels,
            self.grid,
            width=self.width,
            layers=self.decoder_layers,
            dropout=dropout,
            seed=seed,
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
        """DETR's: cross-entropy of all queries, and how far matched boxes are from the true ones.

        Boxes count by their number in the mean picture of the batch, so that a picture with many
        of them weighs more, as in DETR. Of several answers each counts alike.
        """
        options: dict[str, Any] = {"smoothing": smoothing, "gamma": gamma}
        return weighted_mean(
            mean_over_answers(logits, lambda one: self._losses(one, targets, **options)),
            row_weights,
        )

    def _losses(
        self, logits: torch.Tensor, targets: torch.Tensor, *, smoothing: float, gamma: float
    ) -> torch.Tensor:
        """The loss of each picture, [n]."""
        said, boxes = self._split(logits.float())
        real = targets[..., 0] >= 0
        matches = self._matches(said, boxes, targets, real)
        rows, queries, places = matches.unbind(1)
        classes = torch.full(said.shape[:2], len(self.labels), device=said.device)
        classes[rows, queries] = targets[rows, places, 0].long()
        entropy = functional.cross_entropy(
            said.transpose(1, 2), classes, reduction="none", label_smoothing=smoothing
        )
        if gamma:
            chance = said.softmax(-1).gather(2, classes[..., None]).squeeze(-1)
            entropy = entropy * (1 - chance) ** gamma
        shares = torch.where(classes == len(self.labels), self.no_object, 1.0)
        losses = (entropy * shares).sum(1) / shares.sum(1)
        true = targets[rows, places, 1:]
        found = boxes[rows, queries]
        apart = self.box_weight * (found - true).abs().sum(1)
        apart = apart + self.iou_weight * (1 - generalised_iou(found, true))
        usual = max(len(matches) / len(said), 1.0)
        return losses.index_add(0, rows, apart / usual)

    @torch.no_grad()
    def _matches(
        self, said: torch.Tensor, boxes: torch.Tensor, targets: torch.Tensor, real: torch.Tensor
    ) -> torch.Tensor:
        """Picture, query and box of each match, int64 [matches, 3]."""
        costs = match_costs(
            said.softmax(-1)[..., :-1],
            boxes,
            targets,
            box_weight=self.box_weight,
            iou_weight=self.iou_weight,
        )
        found = assigned(costs.double().cpu().numpy(), real.cpu().numpy())
        return torch.from_numpy(found).to(said.device)

    def weights(self, targets: NDArray[Any]) -> None:
        """None: `no_object` is the weight that there is."""

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes and of none, and the box, of each query, [n, Q, C + 5]."""
        said, boxes = self._split(logits.float())
        return torch.cat([said.softmax(-1), boxes], dim=-1)

    def decode(self, scores: NDArray[Any]) -> list[list[dict[str, Any]]]:
        """The boxes of each picture, the surest first: label, probability, and place as shares."""
        told = []
        for one in scores:
            chances, boxes = one[:, :-5], one[:, -4:]
            sure = chances.max(axis=1)
            kept = [query for query in np.argsort(-sure) if sure[query] >= self.threshold]
            told.append(
                [
                    {
                        "label": self.labels[chances[query].argmax()],
                        "probability": float(sure[query]),
                        "x": float(boxes[query, 0] - boxes[query, 2] / 2),
                        "y": float(boxes[query, 1] - boxes[query, 3] / 2),
                        "w": float(boxes[query, 2]),
                        "h": float(boxes[query, 3]),
                    }
                    for query in kept
                ]
            )
        return told

    def _split(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits [n, Q, C + 1] and boxes [n, Q, 4]."""
        # The head says how many queries there are: a pretrained one has its own.
        apart = logits.unflatten(1, (-1, len(self.labels) + 1 + _BOX))
        return apart[..., :-_BOX], apart[..., -_BOX:].sigmoid()
