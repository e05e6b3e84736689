"""Boxes and masks as a table holds them, and as losses and metrics want them."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.errors import DataError, Problem
from transfuse.tasks.base import label_name

__all__ = ["box_labels", "decode_mask", "encode_boxes", "encode_masks"]

_SHOWN = 20

UNLABELLED = 255


def box_labels(values: Sequence[Any]) -> Counter[str]:
    """How many boxes each class has; crowds are not counted.

    Args:
        values: The boxes of each picture.
    """
    return Counter(
        label_name(box["label"])
        for boxes in values
        for box in boxes or ()
        if not box.get("crowd", False)
    )


def encode_boxes(
    values: Sequence[Any], labels: Sequence[str], queries: int, where: str
) -> NDArray[np.float32]:
    """The boxes of each picture as numbers.

    Args:
        values: For each picture a list of boxes: `label`, and `x`, `y` (the corner nearest to the
            picture's first pixel), `w` and `h` as shares of the picture; `crowd` marks a box
            around things that are not told apart.
        labels: The classes in the order of their numbers.
        queries: How many boxes a model can find in a picture.
        where: The table's name, for errors.

    Returns:
        Class, centre x, centre y, width and height, float32 [n, M, 5]. The class is -1 where a
        picture has fewer boxes than another, and -2 - c for a crowd of class c.

    Raises:
        DataError: If pictures have more boxes than that.
    """
    number = {name: place for place, name in enumerate(labels)}
    most = max((len(boxes or ()) for boxes in values), default=0)
    found = np.zeros((len(values), max(most, 1), 5), np.float32)
    found[..., 0] = -1.0
    crowded = []
    for row, boxes in enumerate(values):
        real = 0
        for place, box in enumerate(boxes or ()):
            crowd = bool(box.get("crowd", False))
            if crowd and label_name(box["label"]) not in number:
                # Nothing is ever found of a class that nobody learns.
                continue
            label = number[label_name(box["label"])]
            real += not crowd
            centre = (box["x"] + box["w"] / 2, box["y"] + box["h"] / 2)
            found[row, place] = (-2 - label if crowd else label, *centre, box["w"], box["h"])
        if real > queries:
            crowded.append((row, real))
    if crowded:
        raise DataError(
            Problem(
                f"{where}, row {row + 1}",
                f"{count} boxes",
                f"at most {queries}, one for each query",
                "Raise task.detection.grid.",
            )
            for row, count in crowded[:_SHOWN]
        )
    return found


def decode_mask(value: Any) -> NDArray[np.uint8]:
    """The class of each pixel of a stored mask.

    Args:
        value: A `Picture`, a PNG as bytes, or an array [h, w].

    Returns:
        uint8 [h, w].
    """
    if isinstance(value, np.ndarray | list):
        return np.asarray(value, dtype=np.uint8)
    content = value if isinstance(value, bytes) else value.read()
    # Pillow takes time to import that other tasks need not wait for.
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image, dtype=np.uint8)


def encode_masks(values: Sequence[Any], classes: int, grid: int, where: str) -> NDArray[np.uint8]:
    """The class of each cell of a grid that lies over the whole picture.

    Each cell has the class of the pixel at its middle, as resizing to the nearest pixel gives it.

    Args:
        values: The mask of each picture; see `decode_mask`.
        classes: How many classes there are.
        grid: Rows and columns of the grid.
        where: The table's name, for errors.

    Returns:
        uint8 [n, grid * grid]; 255 where nothing is labelled.

    Raises:
        DataError: If a mask holds a class that there is not.
    """
    found = np.empty((len(values), grid, grid), np.uint8)
    problems = []
    for row, value in enumerate(values):
        mask = decode_mask(value)
        odd = np.setdiff1d(np.unique(mask), [*range(classes), UNLABELLED])
        if mask.ndim != 2 or len(odd):
            what = f"class {odd[0]}" if len(odd) else f"a mask of shape {mask.shape}"
            wanted = f"class numbers from 0 to {classes - 1}, or 255 for none"
            problems.append(Problem(f"{where}, row {row + 1}", what, wanted))
            continue
        down, across = (
            np.minimum(((np.arange(grid) + 0.5) * side / grid).astype(np.int64), side - 1)
            for side in mask.shape
        )
        found[row] = mask[np.ix_(down, across)]
    if problems:
        raise DataError(problems[:_SHOWN])
    return found.reshape(len(values), grid * grid)
