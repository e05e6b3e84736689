"""A study of several tasks: joint beside alone, from the recipe to the report."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from transfuse.answering import load_model
from transfuse.errors import RecipeError
from transfuse.models import Engine
from transfuse.report import result_table, task_table, write_report
from transfuse.study import compare, read_study

pytestmark = pytest.mark.slow

MOODS = {"glad": ["good", "very good"], "flat": ["so", "it is"], "sad": ["bad", "poor"]}
KINDS = {"film": ["the film", "a film"], "book": ["the book", "a book"]}


def write_task(path: Path, words: dict[str, list[str]], rows: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    names = list(words)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            label = names[row % len(names)]
            said = words[label][rng.integers(len(words[label]))]
            text = f"{said} and {'abc'[rng.integers(3)]} {seed} {row}"
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tasks")
    return {
        "name": "two-tasks",
        "model": {"name": str(tiny("bert")), "pooling": "mean", "max_length": 32},
        "data": {
            "tasks": {
                "mood": write_task(folder / "mood.jsonl", MOODS, 120, 1),
                "kind": write_task(folder / "kind.jsonl", KINDS, 60, 2),
            }
        },
        "split": {"test": 0.3, "validation": 0.1},
        "tune": {"full": {"learning_rate": 3e-3, "head_learning_rate": 3e-3}},
        "train": {"epochs": 3, "batch_size": 12, "precision": "fp32"},
        "recipes": {
            "alone": {"alone": True},
            "joint": {},
            "experts": {"fusion": {"mmoe": {"experts": 2}}, "learn": {"tasks": {"count": "tasks"}}},
            "words": {"alone": True, "model": "tfidf"},
        },
        "study": {"seeds": [0, 1], "replicates": 200, "workers": 0},
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, recipe: dict[str, Any]) -> Path:
    return compare(recipe, tmp_path_factory.mktemp("study"))


def rows_of(folder: Path, **wanted: Any) -> list[dict[str, Any]]:
    rows = pq.read_table(folder / "study.parquet").to_pylist()
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_recipes_that_learn_tasks_alone_are_the_baselines(recipe: dict[str, Any]) -> None:
    assert read_study(recipe).baselines == ("alone", "words")


def test_every_task_and_the_mean_are_scored(done: Path, recipe: dict[str, Any]) -> None:
    for name in recipe["recipes"]:
        scores = {
            row["split"]: row for row in rows_of(done, kind="score", recipe=name, metric="accuracy")
        }
        assert scores.keys() == {"mood", "kind", "mean"}
        each = [scores["mood"]["value"], scores["kind"]["value"]]
        assert scores["mean"]["value"] == pytest.approx(np.mean(each))
        assert all(row["low"] <= row["value"] <= row["high"] for row in scores.values())
        runs = rows_of(done, kind="run", recipe=name, metric="accuracy", split="mood")
        assert sorted(row["seed"] for row in runs) == [0, 1]
        assert scores["mood"]["value"] == pytest.approx(np.mean([row["value"] for row in runs]))


def test_the_gain_of_the_mean_is_the_mean_of_the_gains(done: Path) -> None:
    for name in ("joint", "experts"):
        found = {
            row["split"]: row for row in rows_of(done, kind="gain", recipe=name, baseline="alone")
        }
        assert found.keys() == {"mood", "kind", "mean"}
        assert found["mean"]["value"] == pytest.approx(
            (found["mood"]["value"] + found["kind"]["value"]) / 2
        )
        for row in found.values():
            assert row["low"] <= row["value"] <= row["high"]
            assert row["p"] <= row["p_holm"] <= 1


def test_networks_of_single_tasks_add_up_to_what_they_cost(done: Path) -> None:
    cost = {
        name: rows_of(done, kind="cost", recipe=name, metric="total_parameters")[0]["value"]
        for name in ("alone", "joint")
    }
    assert cost["alone"] == pytest.approx(2 * cost["joint"], rel=0.02)


def test_the_model_that_is_kept_answers_for_every_task(done: Path) -> None:
    told = json.loads((done / "study.json").read_text(encoding="utf-8"))
    assert told["kept"] in {"joint", "experts"}
    assert told["headline"]["baseline"] == "alone"
    assert told["tasks"]["mood"]["labels"] == ["flat", "glad", "sad"]
    assert told["rows"]["test"] == sum(each["rows"]["test"] for each in told["tasks"].values())
    assert set(told["data"]) == {"mood", "kind"}
    for task, words in (("mood", MOODS), ("kind", KINDS)):
        model = load_model(done / "model", Engine(), task=task)
        assert set(model.predict(["the film", "bad"])) <= set(words)


def test_the_report_and_the_terminal_name_each_task(done: Path) -> None:
    page = write_report(done).read_text(encoding="utf-8")
    assert 'id="tasks"' in page
    assert "mean over 2 tasks" in page
    for row in rows_of(done, kind="gain", recipe="joint", baseline="alone"):
        assert f'data-row="{row["row"]}"' in page
    console = Console(width=160, record=True, file=io.StringIO())
    table = task_table(done)
    assert table is not None
    console.print(result_table(done), table)
    said = console.export_text()
    assert "mood" in said
    assert "kind" in said


def test_a_study_that_is_run_again_does_nothing_anew(done: Path, recipe: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("run.json")}
    assert len(before) == 2 * (2 + 1 + 1 + 2)
    first = pq.read_table(done / "study.parquet").to_pandas()
    compare(recipe, done)
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("run.json")} == before
    assert pq.read_table(done / "study.parquet").to_pandas().equals(first)


def test_all_recipes_of_a_study_have_the_same_tasks(recipe: dict[str, Any]) -> None:
    other = {"data": {"tasks": {"mood": recipe["data"]["tasks"]["mood"]}}}
    recipes = {**recipe["recipes"], "other": other}
    with pytest.raises(RecipeError, match="the same tasks"):
        read_study({**recipe, "recipes": recipes})
