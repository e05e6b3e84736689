"""`transfuse fuse` on models that know different labels: one that answers with all of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picture_models import SIZE, ancestor, shades, shown
from transfuse.answering import load_model
from transfuse.answering.about import read_about
from transfuse.answering.calibration import Calibration
from transfuse.cli.app import main
from transfuse.models import Engine
from transfuse.study import read_study
from transfuse.study.fusing import fusing
from transfuse.transfer import Engines, transfer
from transfuse.transfer.derived import derived

WORDS = {"bad": "poor and bad", "good": "fine and good", "odd": "strange and odd"}
SPLIT = {"test": 0.3, "validation": 0.2}


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _texts(path: Path, labels: Sequence[str], seed: int, rows: int = 60) -> Path:
    lines = [
        {"text": f"film {seed}-{row} so {WORDS[name]}", "label": name}
        for row, name in enumerate([labels[row % len(labels)] for row in range(rows)])
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Models of words, of the labels bad and good, and of odd and good."""
    home = tmp_path_factory.mktemp("words")
    found = []
    for seed, labels in enumerate((("bad", "good"), ("odd", "good"))):
        recipe: dict[str, Any] = {
            "name": "-".join(labels),
            "model": "tfidf",
            "data": {"target": {"path": str(_texts(home / f"{seed}.jsonl", labels, seed))}},
            "split": SPLIT,
        }
        found.append(transfer(recipe, home / str(seed), engines=_Plain()).folder)
    return found


@pytest.mark.parametrize("rows", ["own", "all"])
def test_answers_of_models_with_other_labels(
    rows: str, models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fuse", "average", *map(str, models), "--output", str(tmp_path / "out")]
    if rows == "all":
        words += ["--data", str(_texts(tmp_path / "all.jsonl", tuple(WORDS), 2, 90))]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "odd-good knows no 'bad'" in " ".join(said.err.split())
    assert "lacks 1 label" in " ".join(said.out.split())
    model = load_model(tmp_path / "out" / "model")
    assert model.task.label_names == ("bad", "good", "odd")
    asked = [f"the film so {words}" for words in WORDS.values()]
    assert model.predict(asked) == ["bad", "good", "odd"]
    one, two = read_about(model.path)["made"][-1]["before"]
    # A model is wrong on rows whose label it does not know, and on no others here.
    told = [each.get("labels_unknown") for each in (one, two)]
    if rows == "own":
        assert told == [None, ["bad"]]
        assert one["score"] == 1.0
        assert 0.2 < two["score"] < 0.8
    else:
        assert told == [["odd"], ["bad"]]
        assert 0.5 < one["score"] < 0.85
        assert 0.5 < two["score"] < 0.85
        assert model.scorecard.metrics["accuracy"] == 1.0
    kept = Calibration.load(model.path)
    assert kept is not None
    assert kept.scores.shape[1] == 3


def test_a_single_model_of_the_study_is_measured_over_all_labels_too(
    models: list[Path], tmp_path: Path
) -> None:
    recipe = derived(models, ["average"], data=_texts(tmp_path / "all.jsonl", tuple(WORDS), 2))
    assert recipe["task"] == {"classification": {"labels": ["bad", "good", "odd"]}}
    assert read_study(fusing(models)).plans["model-2"].names_labels
    del recipe["then"]
    alone = recipe | {"model": {"folders": [str(models[1])]}}
    again = transfer(alone, tmp_path / "alone", engines=_Plain())
    assert 0.5 < again.scorecard.metrics["accuracy"] < 0.85
    opened = load_model(again.folder)
    assert opened.task.label_names == ("good", "odd")
    # Of sets of its labels none could be promised to hold what is true of such rows.
    assert Calibration.load(again.folder) is None


def test_labels_that_no_model_knows_are_told(
    models: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _texts(tmp_path / "rows.jsonl", ("bad", "good"), 3)
    rows.write_text(rows.read_text().replace('"label": "bad"', '"label": "new"'))
    assert main(["fuse", "average", *map(str, models), "--data", str(rows)]) == 2
    assert "'new'" in capsys.readouterr().err


def _shown_as_folder(folder: Path, labels: Sequence[str], seed: int) -> Path:
    table = shades(24, seed, labels)
    for row, (name, file) in enumerate(zip(table.labels(), table.dataset["image"], strict=True)):
        content = file["bytes"] if isinstance(file, dict) else file
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{row}.png").write_bytes(content)
    return folder


def test_weights_of_networks_of_pictures_with_other_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folders = ancestor(tmp_path / "source", "vit"), []
    for seed, labels in enumerate((("dark", "light"), ("grey", "light"))):
        recipe: dict[str, Any] = {
            "name": "-".join(labels),
            "model": {"name": str(source), "size": SIZE},
            "data": {"target": {"path": str(_shown_as_folder(tmp_path / f"{seed}", labels, seed))}},
            "split": SPLIT,
            "tune": "full",
            "train": {"epochs": 1, "batch_size": 8, "precision": "fp32"},
        }
        folders.append(transfer(recipe, tmp_path / f"run{seed}", engines=_Plain()).folder)
    out = tmp_path / "out"
    assert main(["fuse", "linear", *map(str, folders), "--output", str(out)]) == 0
    assert "grey-light knows no 'dark'" in " ".join(capsys.readouterr().err.split())
    model = load_model(out / "model", Engine())
    assert model.task.label_names == ("dark", "light", "grey")
    np.testing.assert_allclose(model.scores(shown(2)).sum(axis=1), 1.0, atol=1e-5)
    about = read_about(model.path)
    assert about["made"][0]["told"]["labels"] == {"all": 3, "shared": 1}
