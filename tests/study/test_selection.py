"""Weights chosen without labels: what is chosen, what it cost, and where it is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from recipes import small_recipe
from transfuse.report import choice_table, write_report
from transfuse.study import compare
from transfuse.training import choice_told


def test_the_regret_is_what_the_labels_would_have_gained() -> None:
    history = [
        {"step": 10.0, "criterion": 0.1, "oracle": 0.7},
        {"step": 20.0, "criterion": 0.3, "oracle": 0.6},
        {"step": 30.0, "criterion": 0.2, "oracle": 0.9},
    ]
    told = choice_told(history)
    assert told == {"selected_step": 20.0, "oracle_step": 30.0, "regret": pytest.approx(0.3)}
    assert choice_told([{"step": 1.0, "accuracy": 0.5}]) == {}


@pytest.mark.parametrize("select", ["entropy", "information_maximisation", "iw_risk"])
def test_an_adapted_recipe_tells_its_regret(
    select: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    study = {"seeds": [0], "workers": 0, "baselines": ["source-only"], "ceilings": ["oracle"]}
    recipe = small_recipe(tmp_path, tiny("bert"), study=study)
    recipe["recipes"] = {
        "source-only": {"learn": "source"},
        "oracle": {"learn": "target", "train": {"epochs": 4}},
        "mcc": {
            "learn": ["source", "mcc"],
            "train": {"select": select, "evaluations": 3, "max_steps": 9},
        },
    }
    folder = compare(recipe, tmp_path / "study")
    table = pd.read_parquet(folder / "study.parquet")
    told = table[table.kind == "choice"].set_index("metric").value
    assert set(told.index) == {"selected_step", "oracle_step", "regret"}
    assert told["regret"] >= 0
    assert {told["selected_step"], told["oracle_step"]} <= {3.0, 6.0, 9.0}
    assert choice_table(folder) is not None
    about = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert about["headline"]["recipe"] == "mcc", "the ceiling is no result"
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Choosing without labels" in page


def test_the_lightest_model_that_surely_keeps_its_score_is_kept(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "unused") | {
        "learn": "target",
        "split": {"test": 0.3, "validation": 0.3},
        "study": {"seeds": [0], "baselines": ["whole"], "keep": "lightest", "workers": 0},
        "recipes": {
            "whole": {"model": {"tfidf": {"words": 3}}},
            "small": {"model": {"tfidf": {"words": 1}}},
            # Lighter still, with words that stand in most rows and tell nothing.
            "blind": {"model": {"tfidf": {"min_rows": 20}}},
        },
    }
    folder = compare(recipe, tmp_path / "study")
    told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    sizes = {
        path.parent.name.split("-")[0]: json.loads(path.read_text(encoding="utf-8"))["scorecard"][
            "costs"
        ]["size_mb"]
        for path in folder.glob("runs/*/run.json")
    }
    assert sizes["blind"] < sizes["small"] < sizes["whole"]
    assert told["kept"] == "small"
