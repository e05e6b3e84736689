"""Pictures on their way into batches: opened and decoded batch by batch, in threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from transfuse.data.blobs import in_threads, keys_of
from transfuse.data.images.augment import Varied
from transfuse.data.images.decode import as_rgb, decode
from transfuse.data.images.pictures import Picture, Pictures
from transfuse.errors import DataError, Problem

__all__ = ["WaitingPictures", "patches_in", "pixels_of"]

_ABSENT = 128
_PATCH = 16

Shown = Picture | Varied | bytes | Image.Image
"""What can be a picture: one of a table, a varied copy of it, a file's bytes, or an image."""


@dataclass(frozen=True)
class WaitingPictures:
    """Pictures that nobody has decoded yet; a `Preprocessed`.

    Args:
        pictures: The pictures; None where a row has none.
        cost: What each costs, in patches of 16 by 16 pixels.
    """

    pictures: Sequence[Shown | None]
    cost: int

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each row costs, int64 [rows]."""
        return np.full(len(self.pictures), self.cost, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, indices: npt.ArrayLike) -> "WaitingPictures":
        """The rows at the given places, in that order.

        Args:
            indices: Row numbers, integers [n], or a boolean mask [rows].
        """
        places = np.arange(len(self))[np.asarray(indices)]
        take: Callable[[Any], Any] | None = getattr(self.pictures, "take", None)
        if take is not None:
            return WaitingPictures(take(places), self.cost)
        return WaitingPictures([self.pictures[place] for place in places.tolist()], self.cost)

    def keys(self) -> npt.NDArray[Any]:
        """The key of each picture's content, S16 [rows]."""
        keys: Callable[[], Any] | None = getattr(self.pictures, "keys", None)
        if keys is not None:
            return np.asarray(keys())
        return keys_of([_with_key(picture) for picture in self.pictures])


def patches_in(size: int) -> int:
    """What a picture costs, in patches of 16 by 16 pixels.

    Args:
        size: Its side in pixels.
    """
    return int((-(-size // _PATCH)) ** 2)


def pixels_of(
    pictures: Sequence[Shown | None],
    prepare: Callable[[Image.Image], Any],
    size: int,
    needed: int,
) -> torch.Tensor:
    """Decodes pictures in threads and makes one tensor of them.

    Args:
        pictures: The pictures; a missing one is grey.
        prepare: Makes an array [size, size, 3] of an RGB image.
        size: Side in pixels.
        needed: The shorter side that is needed of a picture, 0 for all of it.

    Returns:
        uint8 or float32 [n, 3, size, size], colours of a pixel side by side in memory.

    Raises:
        DataError: For pictures that cannot be decoded, all of them, by row.
    """
    problems: list[Problem] = []

    def one(item: tuple[int, Shown | None]) -> Any:
        row, picture = item
        if picture is None:
            return prepare(Image.new("RGB", (size, size), (_ABSENT,) * 3))
        try:
            return prepare(_opened(picture, needed))
        except DataError as error:
            (problem,) = error.problems
            place = pictures.place(row) if isinstance(pictures, Pictures) else problem.where
            problems.append(Problem(place, problem.what, problem.expected, problem.fix))
            return None

    found = list(in_threads(one, enumerate(pictures)))
    if problems:
        raise DataError(problems)
    stacked = np.stack(found) if found else np.empty((0, size, size, 3), np.uint8)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def _opened(picture: Shown, needed: int) -> Image.Image:
    # At twice the size that is needed, decoding a JPEG at a fraction of its size is not seen.
    size = 2 * needed if needed else None
    if isinstance(picture, Image.Image):
        return as_rgb(picture)
    return picture.decode(size) if isinstance(picture, Varied) else decode(picture, size)


def _with_key(picture: Shown | None) -> Any:
    if isinstance(picture, bytes):
        return Picture(content=picture)
    if isinstance(picture, Image.Image):
        # By what is seen: numbers of a palette or a turned image do not say it alone.
        seen = as_rgb(picture)
        return Picture(content=f"{seen.size} {seen.mode}".encode() + seen.tobytes())
    return picture
