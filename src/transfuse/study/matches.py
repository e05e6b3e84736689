"""Some test captions and pictures of a study with what a model finds for them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.data import Role, Table
from transfuse.evaluation.retrieval import ranks
from transfuse.files import write_whole
from transfuse.models.pairs import Vectors, nearest
from transfuse.tasks import Matching, Task

__all__ = ["MATCHES", "shown_matches"]

MATCHES = "matches.json"
"""The file's name in a study's folder."""

_SHOWN = 6
"""Queries of each way."""

_ANSWERS = 5
"""Answers to each."""

_SIDE = 128
"""The longer side at which pictures are kept, in pixels."""

Rows = NDArray[np.int64]


def shown_matches(
    folder: Path, task: Task, tested: Table, scores: NDArray[np.floating[Any]], recipe: str
) -> None:
    """Write what is found for some test captions and some test pictures, as `matches.json`.

    Of tasks that match nothing, and of tables without pictures, nothing is written.

    Args:
        folder: The study's folder.
        task: What was asked.
        tested: The test rows.
        scores: Their vectors, pictures and captions side by side, [n, 2 p].
        recipe: The title of the recipe that they are of.
    """
    (folder / MATCHES).unlink(missing_ok=True)
    if not isinstance(task, Matching) or not len(tested) or not tested.schema.has(Role.IMAGE):
        return
    items = task.targets(tested)
    pictures, captions = np.split(np.asarray(scores, np.float32), 2, axis=1)
    _, firsts = np.unique(items, return_index=True)
    by_caption, by_picture = ranks(np.asarray(scores), items)
    asked = _spread(len(tested))
    shown = firsts[_spread(len(firsts))]
    # Each item stands for its first picture here; several pictures of one item are rare.
    found = _found(captions, pictures, asked, firsts, items)
    said = _found(pictures, captions, shown, np.arange(len(tested)), items)
    texts = tested.texts()
    needed = sorted({*shown.tolist(), *(one for each in found for one, _, _ in each)})
    whole = {
        "recipe": recipe,
        "items": len(firsts),
        "captions": len(tested),
        "pictures": {row: _thumbnail(tested, row) for row in needed},
        "by_caption": [
            {
                "row": int(row),
                "text": texts[row],
                "rank": float(by_caption[row]),
                "answers": [
                    {"picture": one, "cosine": cosine, "right": right}
                    for one, cosine, right in answers
                ],
            }
            for row, answers in zip(asked, found, strict=True)
        ],
        "by_picture": [
            {
                "picture": int(row),
                "rank": float(by_picture[row]),
                "answers": [
                    {"text": texts[one], "cosine": cosine, "right": right}
                    for one, cosine, right in answers
                ],
            }
            for row, answers in zip(shown, said, strict=True)
        ],
    }
    write_whole(folder / MATCHES, json.dumps(whole, ensure_ascii=False))


def _spread(count: int) -> Rows:
    """Some rows at even distances."""
    return np.unique(np.linspace(0, count - 1, _SHOWN).astype(np.int64))


def _found(
    queries: Vectors, gallery: Vectors, asked: Rows, among: Rows, items: Rows
) -> list[list[tuple[int, float, bool]]]:
    """For each query the rows that are nearest, their cosines, and whether they are of its item.

    Where none of them is, the best right one comes last.
    """
    places, cosines = nearest(queries[asked], gallery[among], _ANSWERS)
    found = []
    for row, near, values in zip(asked.tolist(), among[places], cosines, strict=True):
        right = items[near] == items[row]
        answers = list(zip(near.tolist(), values.tolist(), right.tolist(), strict=True))
        if not right.any():
            own = among[items[among] == items[row]]
            scores = gallery[own] @ queries[row]
            answers.append((int(own[scores.argmax()]), float(scores.max()), True))
        found.append(answers)
    return found


def _thumbnail(table: Table, row: int) -> dict[str, Any]:
    """A picture made small, as a JPEG in base64, with its sides."""
    from transfuse.data.images import decode

    (shown,) = table.take([row]).inputs([Role.IMAGE])
    if shown is None:
        return {"width": 0, "height": 0, "jpeg": ""}
    image = decode(shown)
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    jpeg = base64.b64encode(file.getvalue()).decode("ascii")
    return {"width": image.width, "height": image.height, "jpeg": jpeg}
