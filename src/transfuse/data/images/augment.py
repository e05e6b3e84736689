"""Varied copies of pictures: made when a copy is decoded, and never kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from transfuse.data.augmentation import Augmentation
from transfuse.data.images.decode import decode
from transfuse.data.images.pictures import Picture, Pictures
from transfuse.data.seeds import seed_for

__all__ = ["Varied", "VariedPictures"]


@dataclass(frozen=True)
class Varied:
    """One varied copy of a picture.

    Args:
        picture: The picture.
        methods: What is done to it, one after the other.
        seed: Seed of the copy. Equal pictures of one copy are varied alike, wherever they stand.
    """

    picture: Picture
    methods: tuple[Augmentation, ...]
    seed: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.picture.name

    @property
    def key(self) -> bytes:
        """A hash of the picture and of how it is varied, 16 bytes long."""
        return _key(self.picture.key, self.methods, self.seed)

    def decode(self, size: int | None = None) -> Image.Image:
        """The pixels of the copy.

        Args:
            size: The shortest side in pixels that is needed; larger pictures are scaled down to
                it first, since what is done to each pixel takes its time. Default: full size.

        Returns:
            An image of mode RGB.

        Raises:
            DataError: As for `transfuse.data.images.decode`, or if kornia is not installed.
        """
        content = self.picture.read()
        image = decode(Picture(content, self.picture.path), size)
        if size is not None and min(image.size) > size:
            share = size / min(image.size)
            width, height = (max(1, round(side * share)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        named = blake2b(content, digest_size=16).hexdigest()
        rng = np.random.default_rng(seed_for(self.seed, "picture", named))
        colours = np.asarray(image, dtype=np.float32) / 255
        for method in self.methods:
            colours = method(colours, rng)
        return Image.fromarray((np.clip(colours, 0, 1) * 255).round().astype(np.uint8))


@dataclass(frozen=True)
class VariedPictures(Sequence[Varied | None]):
    """One varied copy of each of some pictures; nothing is decoded before it is asked for.

    Args:
        pictures: The pictures; None where a row has none.
        methods: What is done to each, one after the other.
        seed: Seed of the copy.
    """

    pictures: Pictures
    methods: tuple[Augmentation, ...]
    seed: int

    def take(self, indices: npt.ArrayLike) -> "VariedPictures":
        """The rows at the given places, in that order.

        Args:
            indices: Row numbers from 0, integers [n].
        """
        return replace(self, pictures=self.pictures.take(indices))

    def keys(self) -> npt.NDArray[Any]:
        """The key of each copy's content, S16 [rows]."""
        # numpy leaves out zeros at the end of what it hands out.
        plain = (key.ljust(16, b"\0") for key in self.pictures.keys().tolist())
        found = [_key(key, self.methods, self.seed) for key in plain]
        return np.array(found, dtype="S16")

    def place(self, row: int) -> str:
        """How messages name a row."""
        return self.pictures.place(row)

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> Varied | None: ...
    @overload
    def __getitem__(self, index: slice) -> "VariedPictures": ...
    def __getitem__(self, index: int | slice) -> "Varied | VariedPictures | None":
        if isinstance(index, slice):
            return replace(self, pictures=self.pictures[index])
        return self._varied(self.pictures[index])

    def __iter__(self) -> Iterator[Varied | None]:
        return map(self._varied, self.pictures)

    def _varied(self, picture: Picture | None) -> Varied | None:
        return None if picture is None else Varied(picture, self.methods, self.seed)


def _key(picture: bytes, methods: tuple[Augmentation, ...], seed: int) -> bytes:
    return blake2b(picture + repr((methods, seed)).encode(), digest_size=16).digest()
