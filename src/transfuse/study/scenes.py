"""Some test pictures of a study with what is true and what recipes say, for drawing over them."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.data import Role, Table
from transfuse.files import write_whole
from transfuse.tasks import Detection, Segmentation, Task

__all__ = ["SCENES", "shown_scenes"]

SCENES = "scenes.json"
"""The file's name in a study's folder."""

_SHOWN = 6
"""Test pictures that are shown."""

_SIDE = 224
"""The longer side at which they are kept, in pixels."""


def shown_scenes(
    folder: Path, task: Task, tested: Table, answers: Mapping[str, NDArray[np.floating[Any]]]
) -> None:
    """Write what stands in some test pictures, and what recipes find in them, as `scenes.json`.

    Of a task without places nothing is written.

    Args:
        folder: The study's folder.
        task: What was asked.
        tested: The test rows.
        answers: Scores of the test rows, by the recipe's title; the first is the best one's.
    """
    (folder / SCENES).unlink(missing_ok=True)
    if not isinstance(task, Detection | Segmentation) or not len(tested) or not answers:
        return
    rows = np.unique(np.linspace(0, len(tested) - 1, _SHOWN).astype(np.int64))
    some = tested.take(rows)
    truth = task.targets(some)
    told = [
        {
            "row": int(row),
            "picture": _picture(some, place),
            "truth": _true(task, truth[place]),
            "answers": [_said(task, scores[row : row + 1]) for scores in answers.values()],
        }
        for place, row in enumerate(rows.tolist())
    ]
    whole = {
        "kind": task.kind,
        "labels": list(task.label_names),
        "recipes": list(answers),
        "rows": told,
    }
    write_whole(folder / SCENES, json.dumps(whole, ensure_ascii=False))


def _picture(table: Table, row: int) -> dict[str, Any]:
    """A picture made small, as a JPEG in base64, with its sides."""
    from transfuse.data.images import Pictures, decode

    pictures = table.inputs((Role.IMAGE,))
    assert isinstance(pictures, Pictures)
    shown = pictures[row]
    assert shown is not None, "a row without a picture has no places"
    image = decode(shown)
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    width, height = image.size
    return {"width": width, "height": height, "jpeg": _text(file.getvalue())}


def _true(task: Detection | Segmentation, target: NDArray[Any]) -> dict[str, Any]:
    if isinstance(task, Segmentation):
        return _mask(target, task.grid)
    corners = [
        (int(kind), *(float(each) for each in (x - w / 2, y - h / 2, w, h)))
        for kind, x, y, w, h in target
        if kind >= 0
    ]
    return {"boxes": [{"label": kind, "place": place} for kind, *place in corners]}


def _said(task: Detection | Segmentation, scores: NDArray[Any]) -> dict[str, Any]:
    if isinstance(task, Segmentation):
        return _mask(scores[0].argmax(axis=0).astype(np.uint8), task.grid)
    return {
        "boxes": [
            {
                "label": task.labels.index(box["label"]),
                "probability": box["probability"],
                "place": [box["x"], box["y"], box["w"], box["h"]],
            }
            for box in task.decode(scores)[0]
        ]
    }


def _mask(cells: Sequence[int] | NDArray[Any], grid: int) -> dict[str, Any]:
    """The class of each cell, as bytes in base64."""
    return {"grid": grid, "cells": _text(np.asarray(cells, np.uint8).tobytes())}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
