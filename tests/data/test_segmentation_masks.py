"""Folders of pictures and masks: pairs by name, and every pair that does not fit told at once."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfuse.data.images.shapes import draw_scenes, write_scenes
from transfuse.data.readers.masks import is_mask_folder, load_masks
from transfuse.errors import DataError


def test_pictures_get_the_mask_of_their_name(tmp_path: Path) -> None:
    write_scenes(tmp_path, 4, size=48)
    assert is_mask_folder(tmp_path)
    loaded = load_masks(tmp_path)
    for row, scene in zip(loaded.dataset, draw_scenes(4, 48), strict=True):
        assert Path(row["image"]).read_bytes() == scene.picture
        assert Path(row["mask"]).read_bytes() == scene.mask


def test_pairs_that_do_not_fit_are_told_all_at_once(tmp_path: Path) -> None:
    write_scenes(tmp_path, 6, size=32)
    masks = tmp_path / "masks"
    (masks / "00000.png").unlink()
    Image.new("RGB", (32, 32)).save(masks / "00001.png")
    Image.new("L", (16, 32)).save(masks / "00002.png")
    (masks / "00003.png").write_bytes(b"not a picture")
    Image.new("L", (32, 32)).save(masks / "other.png")
    with pytest.raises(DataError) as caught:
        load_masks(tmp_path)
    told = "\n".join(str(each) for each in caught.value.problems)
    assert len(caught.value.problems) == 5
    assert "no mask masks/00000.png" in told
    assert "a mask in RGB" in told
    assert "the mask has 16 x 32; expected the picture's 32 x 32" in told
    assert "00003.png: the mask or its picture cannot be opened" in told
    assert "masks/other.png: no picture for it" in told


def test_drawn_masks_agree_with_drawn_boxes() -> None:
    shapes = 0
    for scene in draw_scenes(20, 64):
        mask = np.asarray(Image.open(io.BytesIO(scene.mask)))
        boxed = np.zeros_like(mask, dtype=np.bool_)
        for box in scene.boxes:
            left, top = round(box["x"] * 64), round(box["y"] * 64)
            right, bottom = left + round(box["w"] * 64), top + round(box["h"] * 64)
            inside = mask[top:bottom, left:right]
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
            boxed[top:bottom, left:right] = True
            shapes += 1
        assert not mask[~boxed].any()
    assert shapes > 20


def test_a_picture_does_not_depend_on_how_many_are_drawn() -> None:
    assert [s.picture for s in draw_scenes(2, 32)] == [s.picture for s in draw_scenes(5, 32)][:2]
    assert next(draw_scenes(1, 32, seed=1)).picture != next(draw_scenes(1, 32)).picture
