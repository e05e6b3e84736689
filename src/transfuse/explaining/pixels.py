"""A picture as the colours of its pixels, for integrated gradients."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from transfuse.answering import ModelFolder
from transfuse.errors import ModelError, Problem
from transfuse.explaining.explanation import PatchWeight
from transfuse.explaining.pictures import PictureParts
from transfuse.models import Network
from transfuse.models.images import ImageEncoder
from transfuse.models.network import Outputs

__all__ = ["Pixels"]


class Pixels:
    """A picture's normalised pixels, beside those of the emptied picture; see `Entering`.

    Args:
        model: The model.
        network: A copy of its network.
        parts: The picture and its patches.

    Raises:
        ModelError: If the network's encoder is no image encoder.
    """

    text = None

    def __init__(self, model: ModelFolder, network: Network, parts: PictureParts) -> None:
        encoder = network.encoder
        if not isinstance(encoder, ImageEncoder):
            what = "has no image encoder whose pixels can be followed"
            fix = "Use the method occlusion."
            raise ModelError(Problem(str(model.path), what, fix=fix))
        self._network = network
        self._head = model.head
        self._parts = parts
        self.size = parts.size
        waiting = encoder.preprocess([parts.image, parts.bare])
        self.cost = waiting.cost
        pixels = encoder.normalised(encoder.collate(waiting)["pixels"])
        self.values, self.bare = pixels[:1], pixels[1:]
        self._patches = _patches(encoder, parts)

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        """See `Entering.logits`."""
        outputs: Outputs = self._network({"pixels": values}, 0, [self._head])
        return outputs.logits[self._head]

    def weights(self, shares: torch.Tensor) -> list[float]:
        """See `Entering.weights`; one for each patch, over pixels and colours."""
        pixels = shares.sum(1).double().flatten()
        found: list[float] = torch.bincount(
            self._patches.flatten(), pixels, minlength=len(self._parts.boxes)
        ).tolist()
        return found

    def units(self, weights: list[float]) -> tuple[PatchWeight, ...]:
        """See `Entering.units`."""
        return self._parts.units(weights)


def _patches(encoder: ImageEncoder, parts: PictureParts) -> torch.Tensor:
    """The number of the patch that each pixel of what the network sees belongs to, int64 [H, W].

    Whatever the processing scales and cuts off, it does so to a picture whose colours say where
    each of its pixels lies: red across, green down. Colours have 256 levels, which is about a
    pixel of what networks see.
    """
    width, height = parts.size
    places = np.zeros((height, width, 3), np.uint8)
    places[..., 0] = np.linspace(0, 255, width).round()
    places[..., 1] = np.linspace(0, 255, height).round()[:, None]
    black, white = (Image.new("RGB", parts.size, colour) for colour in ("black", "white"))
    batch = encoder.collate(encoder.preprocess([Image.fromarray(places), black, white]))
    seen, least, most = encoder.normalised(batch["pixels"]).double().cpu().numpy()
    # As a share of the way from black to white it is the same in whatever numbers.
    across, down = np.clip((seen - least) / (most - least), 0, 1)[:2]
    column = _between(parts.columns, across)
    row = _between(parts.rows, down)
    return torch.from_numpy(row * (len(parts.columns) - 1) + column)


def _between(edges: list[int], share: Any) -> Any:
    """Which two edges places lie between, given as a share of the way from first to last pixel."""
    places = share * (edges[-1] - 1) + 0.5
    return np.searchsorted(edges[1:-1], places, side="right")
