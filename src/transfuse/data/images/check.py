"""Checks of pictures by row when a table is read, affordable for hundreds of thousands.

Of every picture the header is read, its pixels are counted, and its last bytes are looked at. It is
decoded whole only where it is small, or where its end is not what its format ends with; what that
leaves is met, and told by row, when the picture is first used.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from transfuse.data.blobs import in_threads
from transfuse.data.images.decode import BROKEN, Fault, decode, opened
from transfuse.data.images.pictures import Picture
from transfuse.errors import DataError

__all__ = ["Looks", "check_pictures", "looked_at"]

_SMALL = 8_192
"""Bytes of a file up to which it is decoded whole: that costs little more than opening it."""

_TAIL = 64
_START = 64


@dataclass(frozen=True)
class Looks:
    """What a header tells of a picture.

    Args:
        width: In pixels, before it is turned upright.
        height: In pixels.
        mode: Pillow's name of the kind of pixels, such as "RGB".
        format: Pillow's name of the format, such as "JPEG".
        animated: Whether there are several frames.
    """

    width: int
    height: int
    mode: str
    format: str
    animated: bool


def check_pictures(
    pictures: Sequence[Picture | None], workers: int | None = None
) -> dict[int, Fault]:
    """Finds the pictures that cannot be used, without decoding most of them.

    Args:
        pictures: The pictures; rows without one are left alone.
        workers: How many threads. Default: one for each core, at most eight.

    Returns:
        Row number from 0, and what is wrong with its picture, ascending.
    """
    # Pillow warns of what is refused here anyway. The filter is set before the threads start and
    # taken back after they end, since it belongs to the whole process.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = enumerate(in_threads(_fault, pictures, workers))
        return {row: fault for row, fault in found if fault is not None}


def looked_at(picture: Picture) -> Looks:
    """What the header of a picture tells.

    Args:
        picture: The picture.

    Raises:
        DataError: If it cannot be opened.
    """
    source = picture.path if picture.content is None else picture.content
    try:
        with opened(source) as image:
            animated = bool(getattr(image, "is_animated", False))
            return Looks(*image.size, image.mode, image.format or "", animated)
    except (*BROKEN, Image.DecompressionBombError):
        decode(picture)  # tells what is wrong
        raise


def _fault(picture: Picture | None) -> Fault | None:
    if picture is None:
        return None
    try:
        if not _looks_whole(picture):
            decode(picture)
    except DataError as error:
        (problem,) = error.problems
        named = f"{picture.path}: " if picture.content is None else ""
        return named + problem.what, problem.expected, problem.fix
    return None


def _looks_whole(picture: Picture) -> bool:
    """Whether header, size and end are as they should be; if not, decoding it tells why."""
    try:
        with _file_of(picture) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
            file.seek(0)
            if size <= _SMALL or not _ends(file.read(_START), tail, size):
                return False
            opened(file).close()
            return True
    except (*BROKEN, Image.DecompressionBombError):
        return False


def _file_of(picture: Picture) -> BinaryIO:
    if picture.content is not None:
        return io.BytesIO(picture.content)
    return Path(picture.path or "").open("rb")


def _ends(head: bytes, tail: bytes, size: int) -> bool:
    """Whether a file ends as its format does; true for formats that have no such end."""
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail
    if head.startswith(b"\x89PNG"):
        return b"IEND" in tail
    if head.startswith(b"GIF8"):
        return tail.rstrip(b"\0").endswith(b";")
    if head.startswith(b"RIFF"):
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") <= size
    return True
