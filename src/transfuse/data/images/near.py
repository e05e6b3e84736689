"""Pictures that are nearly the same: a perceptual hash, and an index that finds close hashes.

The hash is the sign of the lowest frequencies of the grey picture (Zauner 2010, 'Implementation
and benchmarking of perceptual image hash functions'): 64 bits that survive scaling and
compression. Two hashes that differ in at most seven bits agree, in one of four parts of 16 bits, up
to one bit, so that looking up each part and its neighbours finds every such pair without comparing
all (Norouzi et al. 2012, 'Fast search in Hamming space with multi-index hashing'). Since flat
pictures share their low frequencies, each candidate is then compared by its colours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from transfuse.data.images.decode import decode_all
from transfuse.data.images.pictures import Picture

__all__ = ["BITS", "COLOURS", "NearPictures", "Sketch", "near_pairs", "sketch", "sketch_all"]

BITS = 4
"""Bits of 64 in which the hashes of near pictures differ at most."""

COLOURS = 6.0
"""Mean difference of the colours (0 to 255) of near pictures at most, over 16 x 16 places."""

_BRIGHTER = 12.0
"""How much brighter, 0 to 255, the whole of a near picture may be."""

_MOST_BITS = 7
_SIDE = 32
_KEPT = 8
_PLACES = 16
_PARTS = tuple(range(0, 64, 16))
_TURNED = (0, *(1 << bit for bit in range(16)))
_DECODED = 64
_MOST_ALIKE = 64
"""Pictures of one hash that are looked at: blank pages may be a whole table."""


@dataclass(frozen=True)
class Sketch:
    """What a picture looks like from afar.

    Args:
        bits: The perceptual hash, 64 bits.
        colours: Its colours at 16 x 16 places, uint8 [16, 16, 3].
    """

    bits: int
    colours: npt.NDArray[np.uint8]

    def distance(self, other: "Sketch") -> int:
        """How many of the 64 bits differ."""
        return (self.bits ^ other.bits).bit_count()

    def difference(self, other: "Sketch") -> float:
        """The mean difference of the colours, 0 to 255, but for a slight one of brightness."""
        apart = self.colours.astype(np.float32) - other.colours
        return float(np.abs(apart - np.clip(apart.mean(), -_BRIGHTER, _BRIGHTER)).mean())


def sketch(image: Image.Image) -> Sketch:
    """What a picture looks like from afar.

    Args:
        image: The picture, RGB.
    """
    # Not at the top: scipy takes longer to import than most commands to run.
    from scipy.fft import dctn

    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(grey, dtype=np.float64))[:_KEPT, :_KEPT].ravel()
    # The first tells how bright the picture is, which is no feature of it.
    above = lowest > np.median(lowest[1:])
    above[0] = False
    bits = int.from_bytes(np.packbits(above).tobytes(), "big")
    small = image.resize((_PLACES, _PLACES), Image.Resampling.BOX)
    return Sketch(bits, np.asarray(small, dtype=np.uint8))


def sketch_all(
    pictures: Sequence[Picture | None], workers: int | None = None
) -> Iterator[Sketch | None]:
    """The sketches of pictures, decoded in threads; None where there is no picture.

    Args:
        pictures: The pictures.
        workers: How many threads. Default: one for each core, at most eight.

    Raises:
        DataError: For pictures that cannot be decoded.
    """
    for image in decode_all(pictures, _DECODED, workers):
        yield None if image is None else sketch(image)


@dataclass
class NearPictures:
    """Sketches by number, asked for those near another; every near pair is found.

    Args:
        bits: Bits of the hash that may differ, 0 to 7. Default: 4.
        colours: Mean difference of colours that is allowed, 0 to 255. Default: 6.

    Raises:
        ValueError: If `bits` is out of range.
    """

    bits: int = BITS
    colours: float = COLOURS
    _sketches: dict[int, Sketch] = field(default_factory=dict, init=False)
    _numbers: dict[int, list[int]] = field(default_factory=dict, init=False)
    _parts: tuple[dict[int, list[int]], ...] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= _MOST_BITS:
            raise ValueError(f"bits must be from 0 to {_MOST_BITS}, got {self.bits}")
        self._parts = tuple({} for _ in _PARTS)

    def add(self, number: int, one: Sketch) -> None:
        """Adds a sketch under a number that is not in use."""
        numbers = self._numbers.get(one.bits)
        if numbers is None:
            numbers = self._numbers[one.bits] = []
            for place, part in zip(_PARTS, self._parts, strict=True):
                part.setdefault(one.bits >> place & 0xFFFF, []).append(one.bits)
        if len(numbers) < _MOST_ALIKE:
            numbers.append(number)
            self._sketches[number] = one

    def near(self, one: Sketch) -> Iterator[tuple[int, int]]:
        """The sketches near another.

        Args:
            one: Any sketch.

        Yields:
            The number of each that is near, and how many bits differ; the nearest first.
        """
        hashes = {
            found
            for place, part in zip(_PARTS, self._parts, strict=True)
            for turned in _TURNED
            for found in part.get(one.bits >> place & 0xFFFF ^ turned, ())
            if (found ^ one.bits).bit_count() <= self.bits
        }
        for found in sorted(hashes, key=lambda found: ((found ^ one.bits).bit_count(), found)):
            for number in self._numbers[found]:
                if self._sketches[number].difference(one) <= self.colours:
                    yield number, (found ^ one.bits).bit_count()


def near_pairs(
    pictures: Sequence[Picture | None], bits: int = BITS, colours: float = COLOURS
) -> Iterator[tuple[int, int]]:
    """Finds pictures that are nearly an earlier one.

    Args:
        pictures: The pictures.
        bits: As for `NearPictures`.
        colours: As for `NearPictures`.

    Yields:
        For each picture j that is near an earlier one, (i, j) with the nearest such i.

    Raises:
        DataError: For pictures that cannot be decoded.
    """
    index = NearPictures(bits, colours)
    for row, one in enumerate(sketch_all(pictures)):
        if one is None:
            continue
        found = next(index.near(one), None)
        if found is not None:
            yield found[0], row
        index.add(row, one)
