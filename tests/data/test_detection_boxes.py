"""A column of boxes: pixels or shares, checked row by row."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfuse.data import Role, read
from transfuse.data.images.shapes import draw_scenes, write_scenes
from transfuse.errors import DataError


def parquet(path: Path, boxes: list[Any], size: int = 32) -> Path:
    """A file of drawn pictures with the given boxes."""
    pictures = [scene.picture for scene in draw_scenes(len(boxes), size)]
    pq.write_table(pa.table({"image": pictures, "boxes": boxes}), path)
    return path


def test_pixels_become_shares_by_the_size_of_each_picture(tmp_path: Path) -> None:
    boxes = [[{"label": "a", "x": 8, "y": 0, "w": 16, "h": 32.5}], []]
    table = read(parquet(tmp_path / "t.parquet", boxes))
    assert table.schema.column(Role.BOXES) == "boxes"
    assert table.schema.column(Role.IMAGE) == "image"
    assert not table.schema.has(Role.LABEL)
    (found,), none = table.answers(Role.BOXES)
    assert found == {"label": "a", "x": 0.25, "y": 0.0, "w": 0.5, "h": 1.0, "crowd": False}
    assert none == []


def test_shares_stay_as_they_are(tmp_path: Path) -> None:
    boxes = [[{"label": 3, "x": 0.5, "y": 0.25, "w": 0.5, "h": 0.5, "crowd": True}]]
    table = read(parquet(tmp_path / "t.parquet", boxes))
    ((found,),) = table.answers(Role.BOXES)
    assert found == {"label": "3", "x": 0.5, "y": 0.25, "w": 0.5, "h": 0.5, "crowd": True}


def test_every_bad_row_is_told(tmp_path: Path) -> None:
    good = {"label": "a", "x": 1.0, "y": 1.0, "w": 20.0, "h": 20.0}
    boxes = [
        [good],
        [good | {"w": 0.0}],
        [good | {"x": 20.0}],
        [good | {"label": None}],
        [good | {"h": float("nan")}],
    ]
    with pytest.raises(DataError) as caught:
        read(parquet(tmp_path / "t.parquet", boxes))
    told = [str(each) for each in caught.value.problems]
    assert len(told) == 4
    assert "row 2" in told[0]
    assert "an empty box" in told[0]
    assert "row 3" in told[1]
    assert "stands out of a picture of 32 x 32" in told[1]
    assert "is no box" in told[2]
    assert "four finite numbers" in told[3]


def test_folders_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    write_scenes(tmp_path, 3, size=32)
    masks = read(tmp_path)
    assert masks.schema.has(Role.MASK)
    assert masks.answers(Role.MASK)[0].read() == next(draw_scenes(1, 32)).mask
    boxes = read(tmp_path / "annotations.json")
    assert boxes.schema.has(Role.BOXES)
    assert len(boxes) == len(masks) == 3
    assert boxes.inputs()[0].read() == next(draw_scenes(1, 32)).picture
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    (tmp_path / "masks").rmdir()
    assert read(tmp_path).schema.has(Role.BOXES)


def test_a_table_knows_its_content_by_boxes_and_masks(tmp_path: Path) -> None:
    write_scenes(tmp_path / "one", 3, size=32)
    write_scenes(tmp_path / "two", 3, size=32)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    (tmp_path / "two" / "masks" / "00001.png").write_bytes(
        (tmp_path / "two" / "masks" / "00002.png").read_bytes()
    )
    assert read(tmp_path / "two").fingerprint != one.fingerprint
