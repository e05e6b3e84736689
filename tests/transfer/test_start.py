"""What a run begins from, and labels that it may not see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recipes import small_recipe
from transfuse.errors import DataError, RecipeError
from transfuse.study import read_study
from transfuse.transfer import transfer


def test_a_start_that_has_learnt_the_test_rows_is_refused(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    first = small_recipe(tmp_path, tiny("bert"), split={"test": 0.1, "validation": 0.1})
    done = transfer(first, tmp_path / "first")
    begun = {"name": str(done.folder), "max_length": 32}
    second = small_recipe(tmp_path, tiny("bert"), split={"test": 0.5, "validation": 0.1})
    with pytest.raises(DataError, match="rows that this run is scored on were learnt by"):
        transfer(second | {"model": begun}, tmp_path / "second")
    same_split = transfer(first | {"model": begun}, tmp_path / "third")
    assert same_split.scorecard.rows == done.scorecard.rows


def test_a_changed_start_is_another_run(tiny: Callable[..., Path], tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune="frozen")
    done = transfer(recipe, tmp_path / "start")
    begun = recipe | {"model": {"name": str(done.folder), "max_length": 32}}
    assert not transfer(begun, tmp_path / "run").resumed
    assert transfer(begun, tmp_path / "run").resumed
    (done.folder / "README.md").write_text("another model", encoding="utf-8")
    assert not transfer(begun, tmp_path / "run").resumed


def test_validation_labels_of_the_target_have_no_say_where_none_may_be_seen(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune="frozen", learn="source")
    recipe["split"] = {"by": "column"}
    texts = (tmp_path / "target.jsonl").read_text(encoding="utf-8").splitlines()
    scores = []
    for flipped in (False, True):
        lines = [json.loads(text) for text in texts]
        with (tmp_path / "marked.jsonl").open("w", encoding="utf-8") as file:
            for row, line in enumerate(lines):
                part = ("train", "validation", "test")[row // 3 % 3]
                if flipped and part == "validation":
                    line["label"] = {"good": "bad", "bad": "good"}[line["label"]]
                file.write(json.dumps(line | {"split": part}) + "\n")
        recipe["data"]["target"] = {"path": str(tmp_path / "marked.jsonl")}
        made = transfer(recipe, tmp_path / f"run-{flipped}")
        scores.append(made.load().scores(["a good film", "a bad film"]).tolist())
        assert made.scorecard.temperature == 1.0
    assert scores[0] == scores[1]


def test_a_source_of_other_labels_alone_teaches_the_target_nothing(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), learn="source")
    lines = (tmp_path / "source.jsonl").read_text(encoding="utf-8")
    (tmp_path / "other.jsonl").write_text(lines.replace('"good"', '"fine"'), encoding="utf-8")
    recipe["data"]["source"] = {"path": str(tmp_path / "other.jsonl")}
    with pytest.raises(DataError, match="its labels are bad, fine"):
        transfer(recipe, tmp_path / "run")


def test_recipes_of_a_study_read_one_source(tmp_path: Path) -> None:
    recipe: dict[str, Any] = small_recipe(tmp_path, "some-model")
    recipe["recipes"] = {
        "one": {"learn": "source"},
        "other": {"learn": "source", "data": {"source": {"sample": "news"}}},
    }
    with pytest.raises(RecipeError, match=r"data\.source: differs"):
        read_study(recipe)
