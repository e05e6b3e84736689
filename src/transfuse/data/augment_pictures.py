"""Picture augmentation that keeps the label: what a camera, a frame or the light could change.

Each is a frozen dataclass, called with colours, float32 [H, W, 3] from 0 to 1, and a generator. The
arithmetic is kornia's, the draws are the generator's, so copies made in threads are the same each
time.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from transfuse.data.augmentation import Augmentation
from transfuse.data.schema import Role
from transfuse.errors import DataError, Problem

__all__ = [
    "PICTURE_AUGMENTATIONS",
    "ColourJitter",
    "Crop",
    "Erase",
    "Flip",
    "MildPicture",
    "PictureAugmentation",
    "Rotate",
]

Colours = npt.NDArray[np.float32]

_TRIES = 10


@dataclass(frozen=True)
class PictureAugmentation(Augmentation):
    """A way to vary a picture without changing its label."""

    reads: ClassVar[Role] = Role.IMAGE

    @abstractmethod
    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """See `Augmentation.__call__`."""


@dataclass(frozen=True)
class Flip(PictureAugmentation):
    """Mirrors the picture, left to right."""

    rate: float = 0.5
    """Probability that it is mirrored, from 0 to 1. Default: 0.5."""

    vertical: bool = False
    """Whether it may also be turned upside down, as pictures from above may. Default: false."""

    def __post_init__(self) -> None:
        _check_share("rate", self.rate)

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """The picture or its mirror image."""
        # Both are drawn, whether used or not: an option changes no later draw.
        first, second = rng.random(2) < self.rate
        sides = [1] * bool(first) + [0] * bool(second and self.vertical)
        return np.flip(row, tuple(sides)) if sides else row


@dataclass(frozen=True)
class Crop(PictureAugmentation):
    """Cuts out a part and scales it back to the picture's size.

    Szegedy et al. (2015, arXiv:1409.4842).
    """

    least: float = 0.5
    """The smallest part of the area that stays, above 0 and up to 1. Default: 0.5."""

    stretch: float = 1.33
    """How much wider or higher than the picture's own shape the part may be, from 1. Default:
    1.33."""

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise ValueError(f"least lies above 0 and up to 1, got {self.least}")
        if not self.stretch >= 1:
            raise ValueError(f"stretch is at least 1, got {self.stretch}")

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """A part of the picture, in the picture's size."""
        height, width, _ = row.shape
        for _ in range(_TRIES):
            area = rng.uniform(self.least, 1.0)
            shape = np.exp(rng.uniform(-np.log(self.stretch), np.log(self.stretch)))
            wide = round(width * np.sqrt(area * shape))
            high = round(height * np.sqrt(area / shape))
            if 0 < wide <= width and 0 < high <= height:
                left = int(rng.integers(0, width - wide + 1))
                top = int(rng.integers(0, height - high + 1))
                part = row[top : top + high, left : left + wide]
                kornia = _kornia()
                whole = kornia.resize(kornia.tensor(part), (height, width), antialias=True)
                return kornia.colours(whole)
        return row


@dataclass(frozen=True)
class Rotate(PictureAugmentation):
    """Turns the picture by a few degrees; what then lies outside is grey."""

    degrees: float = 10.0
    """The most that it is turned to either side, from 0 to 180. Default: 10."""

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees lie from 0 to 180, got {self.degrees}")

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """The picture, turned about its middle."""
        angle = rng.uniform(-self.degrees, self.degrees)
        kornia = _kornia()
        picture = kornia.tensor(row - 0.5)
        turned = kornia.rotate(picture[None], picture.new_tensor([angle]), padding_mode="zeros")
        return kornia.colours(turned[0]) + 0.5


@dataclass(frozen=True)
class ColourJitter(PictureAugmentation):
    """Changes brightness, contrast, saturation and hue a little."""

    strength: float = 0.3
    """The most that brightness, contrast and saturation change, as a part, from 0 to below 1.
    Default: 0.3."""

    hue: float = 0.03
    """The most that the hue is turned, as a part of the circle, from 0 to 0.5. Default: 0.03."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise ValueError(f"strength lies from 0 to below 1, got {self.strength}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue lies from 0 to 0.5, got {self.hue}")

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """The picture in a slightly other light."""
        light, contrast, saturation = rng.uniform(1 - self.strength, 1 + self.strength, 3)
        turn = 2 * np.pi * rng.uniform(-self.hue, self.hue)
        varied = row * np.float32(light)
        middle = varied.mean(dtype=np.float64).astype(np.float32)
        varied = np.clip((varied - middle) * np.float32(contrast) + middle, 0, 1)
        kornia = _kornia()
        picture = kornia.saturate(kornia.tensor(varied), float(saturation))
        picture = kornia.turn_hue(picture, float(turn)) if self.hue else picture
        return kornia.colours(picture.clamp(0, 1))


@dataclass(frozen=True)
class Erase(PictureAugmentation):
    """Covers a rectangle with noise, as something that stands in front.

    Zhong et al. (2020, arXiv:1708.04896).
    """

    rate: float = 0.5
    """Probability that something is covered, from 0 to 1. Default: 0.5."""

    most: float = 0.2
    """The largest part of the area that is covered, above 0 and below 1. Default: 0.2."""

    def __post_init__(self) -> None:
        _check_share("rate", self.rate)
        if not 0 < self.most < 1:
            raise ValueError(f"most lies above 0 and below 1, got {self.most}")

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """The picture, perhaps with a part covered."""
        height, width, _ = row.shape
        if not rng.random() < self.rate:
            return row
        area = rng.uniform(0.02 * self.most, self.most)
        shape = np.exp(rng.uniform(-np.log(2), np.log(2)))
        wide = min(width, max(1, round(width * np.sqrt(area * shape))))
        high = min(height, max(1, round(height * np.sqrt(area / shape))))
        left = int(rng.integers(0, width - wide + 1))
        top = int(rng.integers(0, height - high + 1))
        covered = row.copy()
        covered[top : top + high, left : left + wide] = rng.random(
            (high, wide, 3), dtype=np.float32
        )
        return covered


@dataclass(frozen=True)
class MildPicture(PictureAugmentation):
    """A little of everything that most pictures bear: a mirror image, a frame, light.

    Leave the mirror out for pictures in which left and right matter (digits, writing, signs).
    """

    mirror: bool = True
    """Whether every other copy is mirrored. Default: true."""

    def __call__(self, row: Colours, rng: np.random.Generator) -> Colours:
        """The picture, slightly varied."""
        for method in (Flip(0.5 if self.mirror else 0.0), Crop(0.7), ColourJitter(0.2, 0.0)):
            row = method(row, rng)
        return row


PICTURE_AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "mild_picture": MildPicture,
    "flip": Flip,
    "crop": Crop,
    "rotate": Rotate,
    "colour_jitter": ColourJitter,
    "erase": Erase,
}
"""The augmentations of pictures by name; a new one is one more line here."""


@dataclass(frozen=True)
class _Kornia:
    """The parts of kornia that are used."""

    resize: Any
    rotate: Any
    saturate: Any
    turn_hue: Any
    to_tensor: Any
    to_image: Any

    def tensor(self, colours: Colours) -> Any:
        """Colours as kornia has them, [3, H, W]."""
        # A copy, since a picture of one row may be mirrored and still count as contiguous.
        return self.to_tensor(colours.copy(), keepdim=True)

    def colours(self, tensor: Any) -> Colours:
        """The inverse of `tensor`."""
        return np.asarray(self.to_image(tensor), dtype=np.float32)


def _kornia() -> _Kornia:
    try:
        # It takes a moment to load, which only those who vary pictures should wait for.
        from kornia.enhance import adjust_hue, adjust_saturation
        from kornia.geometry.transform import resize, rotate
        from kornia.image import image_to_tensor, tensor_to_image
    except ModuleNotFoundError:
        raise DataError(
            Problem(
                "augment",
                "pictures are varied by the library kornia, which is not installed",
                fix="pip install transfuse[images]",
            )
        ) from None
    return _Kornia(resize, rotate, adjust_saturation, adjust_hue, image_to_tensor, tensor_to_image)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} lies from 0 to 1, got {value}")
