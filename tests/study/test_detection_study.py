"""A study of detectors from files to the report, on a tiny network with random weights."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import transformers

from transfuse.answering import load_model
from transfuse.data.images.shapes import SHAPES, write_scenes
from transfuse.report import write_report
from transfuse.study import compare


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder / "data", 36, size=48)
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(folder / "resnet")
    recipe = {
        "name": "shapes",
        "model": {"name": str(folder / "resnet"), "size": 48},
        "data": {"target": {"path": str(folder / "data" / "annotations.json")}},
        "task": {"detection": {"grid": 3, "width": 16, "threshold": 0.0}},
        "split": {"test": 0.3, "validation": 0.1},
        "train": {"epochs": 1, "batch_size": 8, "precision": "fp32"},
        "recipes": {"scratch": {"tune": "scratch"}, "probe": {"tune": "frozen"}},
        "study": {"seeds": [0], "workers": 0, "replicates": 100},
    }
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONWARNINGS", "ignore")
    try:
        compare(recipe, folder / "out")
    finally:
        patch.undo()
    return folder / "out"


def test_scores_come_with_intervals_and_gains(done: Path) -> None:
    table = pd.read_parquet(done / "study.parquet")
    scores = table[(table.kind == "score") & table.metric.isin(["map", "map50", "map75"])]
    assert len(scores) == 6
    assert ((scores.low <= scores.value) & (scores.value <= scores.high)).all()
    assert set(table[table.kind == "gain"].recipe) == {"probe"}
    told = json.loads((done / "study.json").read_text(encoding="utf-8"))
    assert told["primary_metric"] == "map"
    assert told["labels"] == list(SHAPES)


def test_the_report_draws_boxes_over_pictures(done: Path) -> None:
    page = write_report(done).read_text(encoding="utf-8")
    section = page.split('id="overlays"')[1].split("</section>")[0]
    told = json.loads((done / "scenes.json").read_text(encoding="utf-8"))
    assert len(told["recipes"]) in (1, 2)
    columns = 1 + len(told["recipes"])
    assert section.count("data:image/jpeg;base64,") == columns * len(told["rows"])
    true = sum(len(row["truth"]["boxes"]) for row in told["rows"])
    said = sum(len(answer["boxes"]) for row in told["rows"] for answer in row["answers"])
    assert said == 9 * (columns - 1) * len(told["rows"])
    assert len(re.findall(r"<rect [^>]*stroke=", section)) >= true + said
    assert "<script" not in page


def test_the_kept_model_answers_with_boxes(done: Path) -> None:
    model = load_model(done / "model")
    data = done.parent / "data" / "images"
    answers = model.predict(_pictures(sorted(data.iterdir())[:2]))
    assert all(len(each) == 9 for each in answers)
    assert set(answers[0][0]) == {"label", "probability", "x", "y", "w", "h"}


def _pictures(paths: list[Path]) -> object:
    from transfuse.data.images import Pictures

    return Pictures.of(paths)
