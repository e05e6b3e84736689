"""What the graph of an image encoder reads: `pixel_values`, as transformers names them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from transfuse.data.schema import Role
from transfuse.errors import ModelError, Problem
from transfuse.files import write_whole
from transfuse.models.images.anatomy import ImageAnatomy
from transfuse.models.images.processing import (
    PROCESSOR_FILE,
    Processing,
    read_settings,
    written_settings,
)
from transfuse.models.images.rows import WaitingPictures, patches_in, pixels_of
from transfuse.models.portable import GraphInputs, Portable

__all__ = ["PictureInputs", "portable_pictures", "write_processing"]

_INPUT = "pixel_values"


@dataclass(frozen=True)
class PictureInputs(GraphInputs):
    """Normalised pictures, float32 [n, 3, size, size].

    Args:
        folder: Where `preprocessor_config.json` is.
    """

    folder: Path

    files: ClassVar[tuple[str, ...]] = (PROCESSOR_FILE,)
    reads: ClassVar[tuple[Role, ...]] = (Role.IMAGE,)

    @cached_property
    def processing(self) -> Processing:
        """The network's processing."""
        settings = read_settings(self.folder)
        if settings is None:
            raise ModelError(Problem(str(self.folder / PROCESSOR_FILE), "is not there"))
        return Processing.read(settings)

    def preprocess(self, rows: Sequence[Any]) -> WaitingPictures:
        """See `GraphInputs.preprocess`; nothing is opened yet."""
        return WaitingPictures(rows, patches_in(self.processing.size))

    def collate(self, rows: Any) -> dict[str, NDArray[Any]]:
        """See `GraphInputs.collate`; pictures are decoded here, in threads.

        Raises:
            DataError: For pictures that cannot be decoded, by row.
        """
        processing = self.processing
        pictures = rows.pictures if isinstance(rows, WaitingPictures) else list(rows)
        found = pixels_of(pictures, processing.pixels, processing.size, processing.needed).numpy()
        if found.dtype == np.uint8:
            factor, offset = (
                np.array(part, np.float32).reshape(3, 1, 1)
                for part in (processing.factor, processing.offset)
            )
            found = found.astype(np.float32) * factor + offset
        return {_INPUT: np.ascontiguousarray(found)}

    def made_up(self, count: int) -> list[Image.Image]:
        """See `GraphInputs.made_up`; coarse noise, since fine noise looks alike to a network."""
        rng = np.random.default_rng(0)
        side = self.processing.size
        coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
        return [Image.fromarray(each).resize((side, side)) for each in coarse]


def portable_pictures(
    folder: Path,
    processing: Processing,
    backbone: nn.Module,
    anatomy: ImageAnatomy,
    pixels: torch.Tensor,
) -> Portable:
    """An image encoder's side of a graph.

    The batch varies, and height and width do where convolutions do all the work; those that are
    padded by what their input's size leaves over are made for one size.

    Args:
        folder: Where `preprocessor_config.json` is written.
        processing: How a picture becomes pixels.
        backbone: The backbone.
        anatomy: Its parts.
        pixels: Some normalised pictures, float32 [n, 3, H, W].
    """
    write_processing(processing, folder)
    inputs, names = PictureInputs(folder), {_INPUT: "pixels"}
    config = getattr(backbone, "config", None)
    by_size = getattr(backbone, "pads_by_size", False) or getattr(config, "tf_padding", False)
    # Channels, height and width: what leaves it is a map, and not a row of tokens.
    if by_size or not anatomy.shapes or len(anatomy.shapes[-1]) != pixels[0].ndim:
        return Portable(inputs, names, {"pixels": pixels}, {_INPUT: ("batch",)})
    # Odd sides, and longer than high: a graph made for even ones alone does not bear them.
    height, width = pixels.shape[2] + 33, pixels.shape[3] + 14
    other: Mapping[str, torch.Tensor] = {
        "pixels": torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear")
    }
    axes = {_INPUT: ("batch", None, "height", "width")}
    return Portable(inputs, names, {"pixels": pixels}, axes, other)


def write_processing(processing: Processing, folder: Path) -> None:
    """Writes `preprocessor_config.json` for `AutoImageProcessor`.

    Args:
        processing: The processing.
        folder: The folder, which is there.
    """
    settings = written_settings(processing)
    write_whole(folder / PROCESSOR_FILE, json.dumps(settings, indent=2, sort_keys=True) + "\n")
