"""Classification of pictures by what the labels' texts say, with a model that compares the two."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.answering.base import Answerer, Open
from transfuse.data import Role
from transfuse.models.pairs import PairModel, open_pairs

__all__ = ["TextLabels"]

_ABOUT = "text_labels.json"
_VECTORS = "text_labels.safetensors"
_PAIRS = "pairs"


@dataclass(frozen=True)
class TextLabels(Answerer):
    """A model that compares pictures with texts, and the direction of each label's texts."""

    pairs: PairModel
    directions: NDArray[np.float32]
    """The mean direction of each label's texts, [labels, p], of length 1."""

    scale: float
    """Factor of the cosine before the softmax."""

    offsets: NDArray[np.float64]
    """What is subtracted from each label's logit, [labels]."""

    @classmethod
    def of(cls, pairs: PairModel, texts: Sequence[Sequence[str]], scale: float | None) -> Self:
        """A classifier from a model and the texts of the labels.

        Args:
            pairs: The model.
            texts: The texts of each label; their directions are averaged.
            scale: Factor of the cosine; None for the model's own.
        """
        flat = [text for of_label in texts for text in of_label]
        ends = np.cumsum([len(of_label) for of_label in texts])[:-1]
        means = np.stack([part.mean(axis=0) for part in np.split(pairs.texts(flat), ends)])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        directions = means / np.maximum(lengths, np.finfo(np.float32).tiny)
        used = pairs.scale if scale is None else scale
        return cls(pairs, directions.astype(np.float32), used, np.zeros(len(texts)))

    @property
    def reads(self) -> tuple[Role, ...]:
        """Pictures."""
        return (Role.IMAGE,)

    @property
    def parameters(self) -> int:
        """The number of the model's weights."""
        return self.pairs.parameters

    def logits(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Scaled cosines of each picture with each label, less the offsets, [n, labels]."""
        cosines = self.pairs.pictures(rows).astype(np.float64) @ self.directions.T
        logits: NDArray[np.float64] = self.scale * cosines - self.offsets
        return logits

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Probabilities of the labels, [n, labels]."""
        values = self.logits(rows)
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def calibrated(self, rows: Sequence[Any]) -> Self:
        """The same model with each label's mean logit over pictures at 0.

        Args:
            rows: Unlabelled pictures, at least one.
        """
        return replace(self, offsets=self.offsets + self.logits(rows).mean(axis=0))

    def save(self, folder: Path) -> None:
        """See `Answerer.save`."""
        self.pairs.save(folder / _PAIRS)
        save_file({"directions": np.ascontiguousarray(self.directions)}, folder / _VECTORS)
        about = {"scale": self.scale, "offsets": self.offsets.tolist()}
        (folder / _ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        directions = load_file(folder / _VECTORS)["directions"]
        offsets = np.array(about["offsets"])
        return cls(open_pairs(folder / _PAIRS), directions, about["scale"], offsets)
