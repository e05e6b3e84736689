"""Contact sheets: pictures side by side, to be looked at by a person.

`strip` is one row of thumbnails, for a page; `pair_sheet` shows near duplicates as a file.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from transfuse.data.images.decode import decode
from transfuse.data.images.pictures import Picture

__all__ = ["Pair", "inline", "pair_sheet", "preview", "strip", "thumbnail"]

Pair = tuple[Picture, Picture, str, str]
"""Two pictures, and a word under each."""

_INK, _FAINT, _RULE = "#1b1f24", "#59636e", "#d1d9e0"
_MARGIN = 24
_GAP = 8
_TEXT = 13


def thumbnail(picture: Picture, side: int) -> Image.Image:
    """A picture made to fit a white square, its proportions kept.

    Args:
        picture: The picture.
        side: The square's side in pixels.

    Raises:
        DataError: If it cannot be decoded.
    """
    image = decode(picture, side)
    scale = side / max(image.size)
    size = tuple(max(1, round(length * scale)) for length in image.size)
    # Small pictures keep their pixels, which smoothing would blur.
    method = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    image = image.resize((size[0], size[1]), method)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def strip(pictures: Sequence[Picture], side: int = 64, gap: int = _GAP) -> Image.Image:
    """Thumbnails in a row.

    Args:
        pictures: The pictures, at least one.
        side: Side of a thumbnail in pixels. Default: 64.
        gap: White between them in pixels. Default: 8.

    Raises:
        DataError: If one cannot be decoded.
    """
    width = len(pictures) * (side + gap) - gap
    made = Image.new("RGB", (width, side), "white")
    for place, picture in enumerate(pictures):
        made.paste(thumbnail(picture, side), (place * (side + gap), 0))
    return made


def inline(image: Image.Image) -> str:
    """An image as the address of itself (a data URI), JPEG, for a page that stands alone."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def preview(picture: Picture, side: int = 480) -> str:
    """A picture in its own proportions, as the address of itself; see `inline`.

    Args:
        picture: The picture.
        side: Its longer side in pixels; a smaller picture stays as it is. Default: 480.

    Raises:
        DataError: If it cannot be decoded.
    """
    image = decode(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return inline(image)


def pair_sheet(pairs: Sequence[Pair], title: str, side: int = 112, columns: int = 3) -> Image.Image:
    """Pairs of pictures side by side with words under them.

    Args:
        pairs: The pairs.
        title: What the sheet shows.
        side: Side of a picture in pixels. Default: 112.
        columns: Pairs beside each other. Default: 3.

    Raises:
        DataError: If a picture cannot be decoded.
    """
    columns = max(1, min(columns, len(pairs)))
    wide, high = 2 * side + _GAP, side + 2 * _TEXT + 3 * _GAP
    rows = -(-len(pairs) // columns)
    top = _MARGIN + 2 * _TEXT
    width = max(2 * _MARGIN + columns * wide + (columns - 1) * _MARGIN, 480)
    made = Image.new("RGB", (width, top + rows * (high + _GAP) + _MARGIN), "white")
    draw = ImageDraw.Draw(made)
    draw.text((_MARGIN, _MARGIN - 6), title, fill=_INK, font=ImageFont.load_default(_TEXT + 3))
    font = ImageFont.load_default(_TEXT)
    for number, (*pair, before, after) in enumerate(pairs):
        row, column = divmod(number, columns)
        left, upper = _MARGIN + column * (wide + _MARGIN), top + row * (high + _GAP)
        for at, (picture, word) in enumerate(zip(pair, (before, after), strict=True)):
            x = left + at * (side + _GAP)
            made.paste(thumbnail(picture, side), (x, upper))
            draw.rectangle((x - 1, upper - 1, x + side, upper + side), outline=_RULE)
            for line, text in enumerate(word.split("\n")[:2]):
                shown = _fitting(draw, text, font, side)
                y = upper + side + 5 + line * (_TEXT + 3)
                draw.text((x, y), shown, fill=_FAINT if line else _INK, font=font)
    return made


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: Any, room: int) -> str:
    """A text cut so that it fits; the end of a path tells more than its beginning."""
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength("…" + text, font=font) > room:
        text = text[1:]
    return "…" + text
