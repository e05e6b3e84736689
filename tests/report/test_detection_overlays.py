"""Boxes and masks drawn over test pictures: right places, safe names, damaged files told."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfuse.data import Table
from transfuse.data.images.shapes import draw_scenes
from transfuse.errors import DataError
from transfuse.report.overlays import overlay_section
from transfuse.study.scenes import shown_scenes
from transfuse.tasks import Classification, Detection, Segmentation

ROWS = 8


def table(column: str) -> Table:
    scenes = list(draw_scenes(ROWS, 40))
    answers = [getattr(scene, "boxes" if column == "boxes" else "mask") for scene in scenes]
    pictures = [scene.picture for scene in scenes]
    return Table.from_dict({"image": pictures, column: answers}, name="shapes")


def fitted(kind: str) -> tuple[Any, Table, Any]:
    """A task, its rows, and scores that say the truth."""
    rows = table("boxes" if kind == "detection" else "mask")
    task: Any = Detection(grid=2) if kind == "detection" else Segmentation(grid=8)
    task = task.fit(task.values(rows), "shapes")
    targets = task.targets(rows)
    if kind == "segmentation":
        return task, rows, np.eye(len(task.labels))[targets].transpose(0, 2, 1)
    scores = np.zeros((ROWS, 4, len(task.labels) + 5))
    scores[..., -5] = 1.0
    for row, boxes in enumerate(targets):
        for place, box in enumerate(boxes[boxes[:, 0] >= 0]):
            scores[row, place, -5] = 0.1
            scores[row, place, int(box[0])] = 0.9
            scores[row, place, -4:] = box[1:]
    return task, rows, scores


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_truth_and_answers_stand_side_by_side(kind: str, tmp_path: Path) -> None:
    task, rows, scores = fitted(kind)
    shown_scenes(tmp_path, task, rows, {"Best <b>": scores, "Scratch": scores[::-1]})
    (section,) = overlay_section(tmp_path)
    told = json.loads((tmp_path / "scenes.json").read_text(encoding="utf-8"))
    assert section.body.count("data:image/jpeg;base64,") == 3 * len(told["rows"]) == 18
    assert "Best &lt;b&gt;" in section.body
    assert "<b>" not in section.body
    if kind == "segmentation":
        assert section.body.count("data:image/png;base64,") == 18
        for row in told["rows"]:
            assert row["truth"] == row["answers"][0]
        assert "class 0, is left clear" in section.lead


def test_boxes_are_drawn_where_they_are_and_wrong_ones_dashed(tmp_path: Path) -> None:
    task, rows, scores = fitted("detection")
    moved = scores.copy()
    moved[..., -4:-2] = 0.05
    shown_scenes(tmp_path, task, rows, {"right": scores, "moved": moved})
    (section,) = overlay_section(tmp_path)
    told = json.loads((tmp_path / "scenes.json").read_text(encoding="utf-8"))
    count = sum(len(row["truth"]["boxes"]) for row in told["rows"])
    drawn = re.findall(
        r'<rect x="([-\d.]+)" y="([-\d.]+)"[^>]*?(stroke-dasharray)?[^>]*/>', section.body
    )
    assert len(drawn) == 3 * count
    assert section.body.count("stroke-dasharray") == count
    x, y, _, _ = told["rows"][0]["truth"]["boxes"][0]["place"]
    assert (float(drawn[0][0]), float(drawn[0][1])) == pytest.approx((224 * x, 224 * y), abs=0.06)
    assert section.body.count(" 90 %") == 2 * count


def test_other_tasks_leave_nothing_and_damage_is_told(tmp_path: Path) -> None:
    _, rows, _ = fitted("detection")
    (tmp_path / "scenes.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"scenes\.json: cannot be read"):
        overlay_section(tmp_path)
    shown_scenes(tmp_path, Classification(labels=("a", "b")), rows, {"x": np.ones((ROWS, 2))})
    assert overlay_section(tmp_path) == ()
