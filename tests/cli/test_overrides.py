"""`--set path=value`, and several files as one study."""

import copy
from pathlib import Path
from typing import Any

import pytest
from cli_helpers import write_recipe
from hypothesis import given
from hypothesis import strategies as st

from transfuse.cli.recipes import override, read_all
from transfuse.errors import RecipeError

RECIPE: dict[str, Any] = {
    "model": "minilm",
    "data": {"target": "a.csv", "source": {"path": "b.csv"}},
    "tune": "lora",
    "learn": ["target", {"source": {"weight": 0.5}}],
    "train": {"epochs": 3},
}


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("train.epochs=5", {"train": {"epochs": 5}}),
        ("train.batch_size=8", {"train": {"epochs": 3, "batch_size": 8}}),
        ("split.test=0.4", {"split": {"test": 0.4}}),
        ("study.seeds=[0, 1]", {"study": {"seeds": [0, 1]}}),
        ("tune=full", {"tune": "full"}),
        ("tune.lora.rank=4", {"tune": {"lora": {"rank": 4}}}),
        ("tune.full.learning_rate=1", {"tune": {"full": {"learning_rate": 1}}}),
        ("tune={top: {layers: 2}}", {"tune": {"top": {"layers": 2}}}),
        ("model.max_length=64", {"model": {"name": "minilm", "max_length": 64}}),
        ("budget=", {"budget": None}),
        ("learn[1].source.weight=1.5", {"learn": ["target", {"source": {"weight": 1.5}}]}),
        (
            "learn[0].target.gamma=2",
            {"learn": [{"target": {"gamma": 2}}, {"source": {"weight": 0.5}}]},
        ),
        (
            "data.target.label=stars",
            {"data": {"target": {"path": "a.csv", "label": "stars"}, "source": {"path": "b.csv"}}},
        ),
        ("title=a=b", {"title": "a=b"}),
    ],
)
def test_one_value_is_replaced_and_nothing_else(setting: str, changed: dict[str, Any]) -> None:
    before = copy.deepcopy(RECIPE)
    assert override(RECIPE, [setting]) == {**RECIPE, **changed}
    assert before == RECIPE


def test_later_settings_win() -> None:
    assert override(RECIPE, ["train.epochs=5", "train.epochs=6"])["train"] == {"epochs": 6}


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("train.epochs", "is not a setting"),
        ("=5", "is not a setting"),
        ("train..epochs=5", "is not a setting"),
        ("learn[2].source=1", "in a list of 2"),
        ("learn.source=1", "does not lead into a list"),
        ("train[0]=1", "does not lead into a list"),
        ("train.epochs=[1", "--set train.epochs=[1"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(setting: str, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        override(RECIPE, [setting, "also wrong"])
    assert len(caught.value.problems) == 2
    assert what in str(caught.value.problems[0])


keys = st.text("abcdef_", min_size=1, max_size=6)


@given(path=st.lists(keys, min_size=1, max_size=5), value=st.integers())
def test_any_path_of_keys_can_be_set(path: list[str], value: int) -> None:
    found: Any = override({}, [f"{'.'.join(path)}={value}"])
    for key in path:
        found = found[key]
    assert found == value


def test_several_files_become_a_study(place: Path) -> None:
    first = write_recipe(place / "first.yaml")
    second = write_recipe(place / "second.yaml", tune="frozen")
    study = read_all([str(first), str(second)])
    assert study["name"] == "first-second"
    assert list(study["recipes"]) == ["first", "second"]
    assert study["recipes"]["second"]["tune"] == "frozen"


def test_a_study_is_not_one_of_several_and_names_differ(place: Path) -> None:
    one = write_recipe(place / "one.yaml")
    study = write_recipe(place / "study.yaml", recipes={"a": {}})
    with pytest.raises(RecipeError) as caught:
        read_all([str(one), str(study), str(one)])
    assert [problem.what for problem in caught.value.problems] == [
        "is a study of several recipes",
        "its name 'one' is that of another recipe",
    ]
