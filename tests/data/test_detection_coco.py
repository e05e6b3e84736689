"""COCO's form: what a good file gives, and every entry of a bad one told at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from transfuse.data.images.shapes import SHAPES, draw_scenes, write_scenes
from transfuse.data.readers.coco import coco_file, is_coco, load_coco
from transfuse.errors import DataError


def written(folder: Path, **parts: Any) -> Path:
    """A small file in COCO's form with two pictures of 40 x 20 pixels."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 20)).save(folder / "images" / name)
    told: dict[str, Any] = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 40, "height": 20},
            {"id": 2, "file_name": "b.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 5, 20, 10], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 8, "bbox": [30, 10, 10.4, 10.9], "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(told | parts), encoding="utf-8")
    return path


def test_boxes_are_shares_of_their_picture(tmp_path: Path) -> None:
    loaded = load_coco(written(tmp_path))
    rows = list(loaded.dataset)
    assert [Path(row["image"]).name for row in rows] == ["a.png", "b.png"]
    cat, dog = rows[0]["boxes"]
    assert cat == {"label": "cat", "x": 0.25, "y": 0.25, "w": 0.5, "h": 0.5, "crowd": False}
    # Half a pixel beyond the edge is cut, not refused.
    assert dog == {"label": "dog", "x": 0.75, "y": 0.5, "w": 0.25, "h": 0.5, "crowd": True}
    assert rows[1]["boxes"] == []
    assert "1 pictures without boxes" in loaded.notes[0]
    assert "1 crowds" in loaded.notes[1]
    assert loaded.places([1]) == ["b.png"]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    pictures = [
        {"id": 1, "file_name": "a.png", "width": 40, "height": 20},
        {"id": 1, "file_name": "b.png"},
        {"id": 3, "file_name": "gone.png"},
        {"id": 4, "file_name": "b.png", "width": 20, "height": 40},
        {"file_name": "b.png"},
    ]
    good = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5]}
    boxes: list[dict[str, Any]] = [
        good | {"id": 1},
        good | {"id": 1},
        good | {"image_id": 99},
        good | {"category_id": 99},
        good | {"bbox": [0, 0, 0, 5]},
        good | {"bbox": [35, 0, 10, 5]},
        good | {"bbox": [0, 0, 5]},
        good | {"bbox": [0, 0, float("nan"), 5]},
        good | {"bbox": None},
    ]
    path = written(tmp_path, images=pictures, annotations=boxes)
    with pytest.raises(DataError) as caught:
        load_coco(path)
    told = [str(each) for each in caught.value.problems]
    places = [each.split(":")[0].removeprefix("annotations.json, ") for each in told]
    assert places == [
        *("images[1]", "images[2]", "images[3]", "images[4]"),
        *(f"annotations[{entry}]" for entry in range(1, 9)),
    ]
    assert "says 20 x 40, and 'b.png' has 40 x 20" in told[2]
    assert "stands out of a picture of 40 x 20" in told[8]


def test_entries_that_are_no_objects_are_told_too(tmp_path: Path) -> None:
    told: dict[str, list[Any]] = {
        "images": [{"id": 1, "file_name": "a.png"}, 5, {"id": [3], "file_name": "b.png"}],
        "categories": ["cat", {"id": 7, "name": "dog"}],
        "annotations": ["junk", {"id": 1, "image_id": {}, "category_id": 7, "bbox": [0, 0, 5, 5]}],
    }
    path = written(tmp_path, **told)
    with pytest.raises(DataError) as caught:
        load_coco(path)
    assert [each.where.removeprefix("annotations.json, ") for each in caught.value.problems] == [
        *("images[1]", "images[2]", "categories[0]", "annotations[0]", "annotations[1]")
    ]
    assert "'junk' is no object" in str(caught.value)
    assert "image_id {}" in str(caught.value)


def test_many_problems_are_counted(tmp_path: Path) -> None:
    boxes = [{"image_id": 1, "category_id": 0, "bbox": [0, 0, 1, 1]}] * 50
    with pytest.raises(DataError) as caught:
        load_coco(written(tmp_path, annotations=boxes))
    assert len(caught.value.problems) == 21
    assert "30 more problems" in str(caught.value.problems[-1])


def test_other_files_are_no_coco(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert is_coco(path)
    assert coco_file(tmp_path) == path
    plain = tmp_path / "rows.json"
    plain.write_text('[{"text": "a", "label": "b"}]', encoding="utf-8")
    assert not is_coco(plain)
    path.write_text('{"images": [{"id"', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        load_coco(path)
    path.write_text('{"images": []}', encoding="utf-8")
    with pytest.raises(DataError, match="'annotations' and 'categories'"):
        load_coco(path)


def test_drawn_scenes_come_back_as_they_were_drawn(tmp_path: Path) -> None:
    write_scenes(tmp_path, 5, size=64, seed=3)
    rows = list(load_coco(tmp_path / "annotations.json").dataset)
    for row, scene in zip(rows, draw_scenes(5, 64, seed=3), strict=True):
        assert Path(row["image"]).read_bytes() == scene.picture
        assert [box["label"] for box in row["boxes"]] == [box["label"] for box in scene.boxes]
        for one, other in zip(row["boxes"], scene.boxes, strict=True):
            assert [one[side] for side in "xywh"] == pytest.approx([other[side] for side in "xywh"])
            assert one["label"] in SHAPES
