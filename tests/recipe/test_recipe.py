"""Recipes: all mistakes at once, each with its path; YAML without its traps."""

from pathlib import Path

import pytest

from transfuse.errors import RecipeError
from transfuse.recipe import copy_recipe, merge, read_recipe, shipped_recipes
from transfuse.study import is_study, read_study
from transfuse.transfer import read_plan


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
    ],
)
def test_what_cannot_run_is_named_by_its_path(changes: dict[str, object], where: str) -> None:
    recipe = {"model": "m", "data": {"target": "a.csv"}} | changes
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe)
    assert where in [problem.where for problem in caught.value.problems]


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
    with pytest.raises(RecipeError, match="line 1, column"):
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
