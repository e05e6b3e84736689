"""Recipes: all mistakes at once, each with its path; YAML without its traps."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

from transfuse.errors import RecipeError
from transfuse.recipe import copy_recipe, merge, read_recipe, shipped_recipes
from transfuse.study import is_study, read_study
from transfuse.transfer import read_plan
from transfuse.tuning import TUNINGS


def _write(folder: Path, text: str) -> Path:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_three_mistakes_are_told_together_with_their_paths() -> None:
    recipe = {
        "model": "m",
        "data": {"target": {"path": "a.csv"}, "source": {"path": "b.csv"}},
        "tune": {"lora": {"rnak": 4}},
        "learn": ["target", {"sorce": {}}],
        "train": {"epochs": "many"},
    }
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe)
    places = {problem.where: str(problem) for problem in caught.value.problems}
    assert set(places) == {"tune.lora.rnak", "learn[1]", "train.epochs"}
    assert "Did you mean 'rank'?" in places["tune.lora.rnak"]
    assert "Did you mean 'source'?" in places["learn[1]"]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"learn": ["target", "source"]}, "data.source"),
        ({"learn": ["target", "target"]}, "learn"),
        ({"learn": ["l2_sp"]}, "learn"),
        ({"budget": 0}, "budget"),
        ({"budget": -1}, "budget"),
        ({"model": None}, "model"),
        ({"model": "tfidf", "learn": ["target", "l2_sp"]}, "learn"),
        ({"data": {"target": {"path": "a", "sample": "news"}}}, "data.target"),
        ({"data": {"target": "a.csv", "sauce": "b.csv"}}, "data.sauce"),
        ({"learn": [{"target": {"smoothing": 1.5}}]}, "learn[0].target"),
        ({"tune": {"top": {"layers": 0}}}, "tune.top"),
        ({"tunning": "full"}, "tunning"),
        ({"data": {"target": 5}}, "data.target"),
        ({"data": {"target": "a.csv", "test": ["b.csv"]}}, "data.test"),
        ({"learn": [{"target": {"weight": 0}}, {"l2_sp": {"weight": 0}}]}, "learn"),
        ({"learn": {"target": {"weight": {"start": 0, "end": 0}}}}, "learn"),
    ],
)
def test_what_cannot_run_is_named_by_its_path(changes: dict[str, object], where: str) -> None:
    recipe = {"model": "m", "data": {"target": "a.csv"}} | changes
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe)
    assert where in [problem.where for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("key", "method", "option", "values"),
    [
        ("train", "", "epochs", [0, math.inf, math.nan]),
        ("train", "", "clip", [-1, math.nan]),
        ("train", "", "penalty", [-1, math.inf]),
        ("train", "", "weight_decay", [-0.1]),
        ("train", "", "momentum", [-0.1, 1]),
        ("train", "", "evaluations", [-1]),
        ("train", "", "checkpoint_steps", [0]),
        ("train", "", "checkpoint_seconds", [0]),
        ("train", "", "tracker", ["", "paper"]),
        ("tune", "lora", "rank", [0]),
        ("tune", "dora", "dropout", [1, -0.1]),
        ("tune", "vera", "rank", [0]),
        ("tune", "discriminative", "rates", [[], [-1], [math.nan]]),
        ("model", "pretrained", "max_length", [1]),
        ("model", "pretrained", "dropout", [1, -0.1]),
        ("model", "pretrained", "encoder_dropout", [1, -0.1]),
        ("model", "tfidf", "words", [0]),
        ("model", "tfidf", "min_rows", [0]),
        ("model", "tfidf", "strength", [0, math.inf]),
        ("learn", "target", "weight", [-1, math.inf, {"start": 1, "end": -1}]),
        ("learn", "source", "weight", [-1, {"start": math.nan, "end": 1}]),
        ("learn", "l2_sp", "weight", [-1]),
        *(
            ("tune", name, item.name, [0, -1e-3, math.inf, math.nan])
            for name, tuning in TUNINGS.items()
            for item in fields(tuning)
            if item.name.endswith("learning_rate")
        ),
    ],
)
def test_a_number_without_sense_is_named_by_its_path(
    key: str, method: str, option: str, values: list[object]
) -> None:
    for value in values:
        options: dict[str, object] = {option: value}
        if method == "pretrained":
            options["name"] = "m"
        spec = {method: options} if method else options
        recipe = {"model": "m", "data": {"target": "a.csv", "source": "b.csv"}, key: spec}
        with pytest.raises(RecipeError) as caught:
            read_plan(recipe)
        (problem,) = caught.value.problems
        place = f"{key}[0]" if key == "learn" else key
        assert problem.where == (f"{place}.{method}" if method else place)
        assert option in str(problem)


def test_a_study_whose_recipe_is_no_mapping_says_so() -> None:
    for wrong in (5, "full", ["full"], 0):
        recipe = {"model": "m", "data": {"target": "a.csv"}, "recipes": {"a": wrong, "b": None}}
        with pytest.raises(RecipeError) as caught:
            read_study(recipe)
        assert [problem.where for problem in caught.value.problems] == ["recipes.a"]


def test_a_plan_is_its_recipe_and_back() -> None:
    recipe = {
        "name": "x",
        "model": {"name": "m", "max_length": 64},
        "data": {"target": {"path": "a.csv", "group": None}, "source": {"sample": "news"}},
        "tune": {"lora": {"rank": 4, "targets": ["query"]}},
        "learn": ["target", {"source": {"weight": {"start": 1, "end": 0, "shape": "cosine"}}}],
        "task": {"classification": {"class_weights": "balanced"}},
        "train": {"epochs": 5, "patience": 2},
        "budget": 50,
    }
    plan = read_plan(recipe)
    assert read_plan(plan.recipe()) == plan
    assert plan.data["target"].roles == {"group": None}


def test_yaml_traps(tmp_path: Path) -> None:
    assert read_recipe(_write(tmp_path, "a: 1e-4\nb: 5E3\nc: on-time"))["a"] == 1e-4
    with pytest.raises(RecipeError, match=r"line 2: 'a' is given twice"):
        read_recipe(_write(tmp_path, "a: 1\na: 2\n"))
    with pytest.raises(RecipeError, match=r"line 2, column 1"):
        read_recipe(_write(tmp_path, "a: [1\n"))
    with pytest.raises(RecipeError, match="is empty"):
        read_recipe(_write(tmp_path, ""))
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(RecipeError, match="byte 3 is not UTF-8"):
        read_recipe(tmp_path / "latin.yaml")
    with pytest.raises(RecipeError, match="Did you mean 'news-to-reviews'"):
        read_recipe("news-to-review")


def test_every_shipped_recipe_is_right_and_can_be_copied(tmp_path: Path) -> None:
    for name in shipped_recipes():
        copied = copy_recipe(name, tmp_path)
        recipe = read_recipe(copied)
        assert read_study(recipe).plans if is_study(recipe) else read_plan(recipe)
        with pytest.raises(RecipeError, match="exists"):
            copy_recipe(name, copied)


def test_merging_replaces_choices_whole_and_settings_key_by_key() -> None:
    base = {"tune": {"lora": {"rank": 4}}, "train": {"epochs": 3, "batch_size": 8}}
    over = {"tune": "full", "train": {"epochs": 1}}
    assert merge(base, over) == {"tune": "full", "train": {"epochs": 1, "batch_size": 8}}
    assert base["train"]["epochs"] == 3
