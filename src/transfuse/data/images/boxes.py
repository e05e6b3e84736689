"""A column of boxes: checked row by row, and brought to shares of the picture."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from transfuse.data.columns import replaced
from transfuse.data.images.pictures import Picture
from transfuse.data.places import BOXES

__all__ = ["boxes_checked", "picture_size"]

_SIDES = ("x", "y", "w", "h")
_EDGE = 1.001
"""Up to here numbers are shares; one beyond makes all of them pixels."""

_SLACK = 1.0
"""Pixels by which a box may stand out of its picture; it is then cut."""

Fault = tuple[str, str, str]
"""What is there, what was expected, and how to mend it."""

_FORM = "a list of {label, x, y, w, h}, x and y of the corner at the picture's first pixel"


def boxes_checked(
    dataset: datasets.Dataset, column: str, pictures: Sequence[Picture | None] | None
) -> tuple[datasets.Dataset, dict[int, Fault]]:
    """Boxes as shares of their picture, and what is wrong with rows.

    Numbers are pixels where any of the column is greater than 1, otherwise shares.

    Args:
        dataset: The table.
        column: Its boxes.
        pictures: Its pictures, whose sizes are asked for where boxes are in pixels; None if the
            table has none.

    Returns:
        The dataset with the column in the form of `BOXES`; bad rows are empty in it, and stand
        with what is wrong in the second part, by number.
    """
    rows = [list(found or ()) for found in dataset[column]]
    faults = {row: fault for row, boxes in enumerate(rows) for fault in _malformed(boxes)}
    sound = [row for row in range(len(rows)) if row not in faults]
    pixels = any(
        max(box["x"] + box["w"], box["y"] + box["h"]) > _EDGE for row in sound for box in rows[row]
    )
    made: list[list[dict[str, Any]]] = [[] for _ in rows]
    for row in sound:
        size = (1.0, 1.0)
        if pixels and rows[row]:
            found = None if pictures is None else picture_size(pictures[row])
            if found is None:
                faults[row] = ("boxes in pixels of a picture of unknown size", "a picture", "")
                continue
            size = (float(found[0]), float(found[1]))
        slack = _SLACK if pixels else _EDGE - 1
        cut = [_cut(box, size, slack) for box in rows[row]]
        if None in cut:
            bad = rows[row][cut.index(None)]
            told = ", ".join(f"{bad[side]:g}" for side in _SIDES)
            what = f"a box [{told}] that stands out of a picture of {size[0]:g} x {size[1]:g}"
            faults[row] = (what, "boxes within the picture", "")
        else:
            made[row] = [box for box in cut if box is not None]
    return replaced(dataset, column, pa.array(made, BOXES)), faults


def picture_size(picture: Picture | None) -> tuple[int, int] | None:
    """Width and height of a picture as it is looked at, read from its first bytes.

    Args:
        picture: The picture.

    Returns:
        Pixels; None where it cannot be opened.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    if picture is None:
        return None
    content = None if picture.content is None else io.BytesIO(picture.content)
    try:
        with Image.open(content or Path(picture.path or "")) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
    return (height, width) if turned else (width, height)


def _malformed(boxes: Sequence[Any]) -> Iterator[Fault]:
    """The first thing that is no box."""
    for box in boxes:
        numbers = [box.get(side) for side in _SIDES] if isinstance(box, Mapping) else []
        if not numbers or box.get("label") in (None, ""):
            yield (f"{box!r} is no box", _FORM, "")
            return
        if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
            yield (f"a box of {numbers}", "four finite numbers", "")
            return
        if min(box["w"], box["h"]) <= 0:
            yield (f"an empty box {numbers}", "width and height above 0", "Leave it out.")
            return


def _cut(box: Mapping[str, Any], size: tuple[float, float], slack: float) -> dict[str, Any] | None:
    """A box as shares, cut at the edges; None where it stands out by more than the slack."""
    x, y, w, h = (float(box[side]) for side in _SIDES)
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + w, size[0]), min(y + h, size[1])
    out = max(left - x, top - y, x + w - right, y + h - bottom)
    if out > slack or right <= left or bottom <= top:
        return None
    label = box["label"]
    return {
        "label": label if isinstance(label, str) else str(label),
        "x": left / size[0],
        "y": top / size[1],
        "w": (right - left) / size[0],
        "h": (bottom - top) / size[1],
        "crowd": bool(box.get("crowd") or False),
    }
