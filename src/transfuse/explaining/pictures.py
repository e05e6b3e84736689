"""The parts of a picture: a grid of patches, and the picture with some of them emptied."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageFilter, ImageStat

from transfuse.data.images import Picture, decode
from transfuse.explaining.explanation import PatchWeight

__all__ = ["Fill", "Grid", "PictureParts"]

Fill = Literal["mean", "blur"]

_PIXELS = 16_000_000
"""Pixels of the variants that are held at a time."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Grid:
    """How a picture is cut into patches, and what an emptied patch shows.

    Args:
        patches: Patches along the picture's longer side; along the shorter one there are so many
            that they are about square. Default: 8.
        fill: `mean` paints an emptied patch in the mean colour of the picture; `blur` shows there
            what is left of the picture when it is blurred over the length of a patch, so that
            colours stay and shapes go. Default: mean.

    Raises:
        ValueError: If there are no patches, or no such fill.
    """

    patches: int = 8
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        if self.patches < 1:
            raise ValueError(f"patches is at least 1, got {self.patches}")
        if self.fill not in get_args(Fill):
            raise ValueError(f"fill is one of {', '.join(get_args(Fill))}, got {self.fill!r}")


class PictureParts:
    """A picture that a model can be asked about with patches of it emptied; see `Parts`.

    The grid lies over the whole upright picture, not over what a model sees of it: a patch that
    its processing cuts off has the weight 0.

    Args:
        picture: The picture.
        grid: How it is cut.

    Raises:
        DataError: If it cannot be decoded.
    """

    text = None

    def __init__(self, picture: Picture | bytes | Image.Image, grid: Grid) -> None:
        if isinstance(picture, Image.Image):
            self.image = picture.convert("RGB")
        else:
            self.image = decode(picture)
        self._grid = grid
        width, height = self.size = self.image.size
        longer = max(self.size)
        self.columns, self.rows = (
            _edges(side, max(1, round(grid.patches * side / longer))) for side in (width, height)
        )

    @cached_property
    def bare(self) -> Image.Image:
        """The picture with all of its patches emptied."""
        if self._grid.fill == "blur":
            # Up to the edge of a patch that is emptied, its middle must not shine through.
            radius = max(self.size) / self._grid.patches
            return self.image.filter(ImageFilter.GaussianBlur(radius))
        red, green, blue = (round(each) for each in ImageStat.Stat(self.image).mean)
        return Image.new("RGB", self.size, (red, green, blue))

    @property
    def at_once(self) -> int:
        """See `Parts.at_once`; few of a large picture, which are copied whole."""
        width, height = self.size
        return max(1, min(_AT_ONCE, _PIXELS // (width * height)))

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each patch, row by row."""
        across = list(zip(self.columns[:-1], self.columns[1:], strict=True))
        down = list(zip(self.rows[:-1], self.rows[1:], strict=True))
        return [(left, top, right, bottom) for top, bottom in down for left, right in across]

    def variants(self) -> Iterator[Image.Image]:
        """See `Parts.variants`."""
        yield self.image
        yield self.bare
        for box in self.boxes:
            emptied = self.image.copy()
            emptied.paste(self.bare.crop(box), box)
            yield emptied

    def units(self, weights: list[float]) -> tuple[PatchWeight, ...]:
        """See `Parts.units`."""
        across = len(self.columns) - 1
        return tuple(
            PatchWeight(place // across + 1, place % across + 1, box, weight)
            for place, (box, weight) in enumerate(zip(self.boxes, weights, strict=True))
        )


def _edges(side: int, parts: int) -> list[int]:
    """Where patches begin and end along a side; none is empty."""
    edges: list[int] = np.linspace(0, side, min(side, parts) + 1).round().astype(int).tolist()
    return edges
