"""From the bytes of a picture to pixels: always RGB, upright, on white, whatever the file holds.

    for image in decode_all(pictures, size=256):
        ...

Every file is opened by Pillow. A file that is none, is cut off, or claims more pixels than anyone
means is an error that names it.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from transfuse.data.blobs import in_threads
from transfuse.data.images.pictures import Picture, Pictures
from transfuse.errors import DataError, Problem

__all__ = [
    "BROKEN",
    "MOST_PIXELS",
    "Fault",
    "as_rgb",
    "decode",
    "decode_all",
    "fault_of",
    "opened",
]

MOST_PIXELS = 64_000_000
"""Pixels above which a picture is refused: a file of kilobytes may claim any number of them."""

BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RuntimeError, struct.error, zlib.error),
)
"""What Pillow's readers raise over bytes that are not what their header says."""

Fault = tuple[str, str, str]
"""What is wrong with a picture, what was expected, and how to mend it."""

_LEAVE_OUT = "Mend the file or leave the row out."

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    picture: Picture | bytes, size: int | None = None, *, most_pixels: int = MOST_PIXELS
) -> Image.Image:
    """The pixels of a picture: RGB, upright, its first frame, on white where it is transparent.

    Args:
        picture: The picture, or the bytes of its file.
        size: The shortest side in pixels that is needed: a JPEG is then decoded at a half, a
            quarter or an eighth of its size, as far as both sides stay that long, which is up to
            several times as fast. Default: full size.
        most_pixels: Pixels above which it is refused. Default: 64 million.

    Returns:
        An image of mode RGB. Numbers of 16 bits are divided by 257; of 32-bit and floating-point
        ones see `docs/images.md`.

    Raises:
        DataError: If it cannot be read, is no picture, is cut off, or is too large.
    """
    picture = Picture(content=picture) if isinstance(picture, bytes) else picture
    content = picture.read()
    try:
        with opened(content, most_pixels) as image:
            if size is not None:
                image.draft(None, (size, size))
            image.load()
            return as_rgb(image)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise DataError(Problem(picture.name, *fault_of(error, content))) from None


def as_rgb(image: Image.Image) -> Image.Image:
    """An image as pictures of files are seen: RGB, upright, on white where it is transparent.

    Args:
        image: An image of any mode, loaded.
    """
    return _flat(_upright(image))


def decode_all(
    pictures: Sequence[Picture | None], size: int | None = None, workers: int | None = None
) -> Iterator[Image.Image | None]:
    """Decodes pictures in threads, in their order, few of them ahead.

    Args:
        pictures: The pictures; a missing one gives None.
        size: The shortest side in pixels that is needed, as for `decode`. Default: full size.
        workers: How many threads. Default: one for each core, at most eight.

    Yields:
        Images of mode RGB.

    Raises:
        DataError: For pictures that cannot be decoded, by row, when the first of them is reached;
            all that are then known are told.
    """
    known: list[Problem] = []

    def one(item: tuple[int, Picture | None]) -> Image.Image | DataError | None:
        row, picture = item
        try:
            return None if picture is None else decode(picture, size)
        except DataError as error:
            (problem,) = error.problems
            place = pictures.place(row) if isinstance(pictures, Pictures) else f"picture {row + 1}"
            return DataError(Problem(place, problem.what, problem.expected, problem.fix))

    for found in in_threads(one, _until(enumerate(pictures), known), workers):
        if isinstance(found, DataError):
            known += found.problems
        elif not known:
            yield found
    if known:
        raise DataError(known)


def _until(items: Iterable[Any], known: list[Problem]) -> Iterator[Any]:
    """The items, as long as nothing is known to be wrong."""
    for item in items:
        if known:
            return
        yield item


def opened(source: Any, most_pixels: int = MOST_PIXELS) -> ImageFile.ImageFile:
    """Opens a picture and looks at its header alone.

    Args:
        source: Bytes, a path, or an open file.
        most_pixels: Pixels above which it is refused.

    Returns:
        The image, of which nothing is decoded.

    Raises:
        ValueError: If it claims too many pixels, or is empty; others of `BROKEN` if it is none.
    """
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    width, height = image.size
    if width * height > most_pixels:
        image.close()
        raise Image.DecompressionBombError(f"{width:,} x {height:,} pixels")
    if not width or not height:
        image.close()
        raise ValueError("no pixels")
    return image


def fault_of(error: BaseException, start: bytes) -> Fault:
    """What is wrong with a picture that could not be decoded, in words.

    Args:
        error: What was raised.
        start: The file's content, or the beginning of it.
    """
    said = str(error).strip().splitlines()
    reason = said[0][:120] if said else type(error).__name__
    if not start:
        return "an empty file", "a picture", _LEAVE_OUT
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture: {_looks_like(start)}", "a picture (JPEG, PNG, WebP …)", _LEAVE_OUT
    if isinstance(error, Image.DecompressionBombError):
        what = f"a picture of too many pixels ({reason})"
        return what, f"at most {MOST_PIXELS:,}", "Scale it down, or leave the row out."
    if "truncated" in reason.casefold() or isinstance(error, EOFError):
        return f"a picture that is cut off ({reason})", "the whole file", _LEAVE_OUT
    return f"a picture that cannot be decoded ({reason})", "a whole picture", _LEAVE_OUT


def _looks_like(start: bytes) -> str:
    head = start[:60]
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page"
    if head.lstrip().startswith((b"<svg", b"<?xml")):
        return "it is a drawing in SVG or XML"
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return f"it begins with the bytes {head[:8].hex(' ')}"
    return f"it begins with the text {text[:24]!r}"


def _upright(image: Image.Image) -> Image.Image:
    # Asked for after loading: Pillow turns TIFF files itself, and then removes the tag.
    try:
        turned = image.getexif().get(_ORIENTATION)
    except BROKEN:
        # Broken notes beside whole pixels are no reason to lose the picture.
        return image
    method = _UPRIGHT.get(turned) if isinstance(turned, int) else None
    return image if method is None else image.transpose(method)


def _flat(image: Image.Image) -> Image.Image:
    """An image as RGB, laid on white where it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Any:
    """Wide numbers as 0 to 255, uint8 [height, width]; the type says the range where it can."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    most = values.max(initial=0.0)
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < most <= 65_535):
        values = values / 257
    elif most > 255:
        values = values * (255 / most)
    elif image.mode == "F" and most <= 1:
        values = values * 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
