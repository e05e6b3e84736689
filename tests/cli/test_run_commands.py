"""Recipes done and looked at through the command line."""

import json
from pathlib import Path

import pytest
import yaml
from cli_helpers import Command, final_names, write_recipe
from filelock import FileLock


def test_a_single_recipe_leaves_a_model_and_says_so(
    cli: Command, recipe: Path, place: Path
) -> None:
    said = cli("run", recipe)
    assert said.code == 0, said.err
    assert "label is column 'label'" in said.err
    assert "Accuracy" in said.out
    assert f"model   {Path('runs') / 'plain' / 'model'}" in said.out
    assert final_names(place / "runs" / "plain") == ["model"]


def test_the_same_command_again_makes_nothing_again(cli: Command, recipe: Path) -> None:
    first = cli("transfer", recipe, "--output", "out")
    again = cli("transfer", recipe, "--output", "out")
    other = cli("transfer", recipe, "--output", "out", "--seed", 5)
    assert "was done before" not in first.err
    assert "was done before" in again.err
    assert again.out == first.out
    assert "was done before" not in other.err


def test_settings_reach_the_run(cli: Command, recipe: Path, place: Path) -> None:
    said = cli("run", recipe, "--output", "out", "--set", "model={tfidf: {words: 1}}", "--seed", 7)
    assert said.code == 0, said.err
    told = json.loads((place / "out" / "model" / "transfuse.json").read_text(encoding="utf-8"))
    assert told["recipe"]["model"] == {"tfidf": {"words": 1}}
    assert told["recipe"]["seed"] == 7


@pytest.mark.parametrize("setting", ["trian.epochs=5", "train.epohcs=5", "tune.lroa.rank=4"])
def test_a_setting_that_means_nothing_is_refused(cli: Command, recipe: Path, setting: str) -> None:
    said = cli("run", recipe, "--set", setting)
    assert said.code == 2
    assert "Did you mean" in said.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_study_ends_with_its_table_report_and_best_model(
    cli: Command, table: Path, place: Path
) -> None:
    study = write_recipe(
        place / "study.yaml",
        study={"seeds": [0, 1], "workers": 0, "replicates": 100},
        recipes={"pairs": {}, "words": {"model": {"tfidf": {"words": 1}}}},
    )
    said = cli("run", study, "--output", "out", "--seed", 0)
    assert said.code == 0, said.err
    assert "2 runs" in said.err
    assert said.err.count(": done after") == 2
    assert "pairs" in said.out
    assert "words" in said.out
    assert f"report  {Path('out') / 'report.html'}" in said.out
    assert {"model", "report.html", "study.json", "study.parquet"} <= set(
        final_names(place / "out")
    )
    (place / "out" / "report.html").unlink()
    again = cli("report", "out")
    assert again.code == 0, again.err
    assert (place / "out" / "report.html").exists()


def test_transfer_takes_one_recipe_and_compare_several(
    cli: Command, recipe: Path, place: Path
) -> None:
    study = write_recipe(place / "study.yaml", recipes={"one": {}})
    said = cli("transfer", study)
    assert said.code == 2
    assert "transfuse run" in said.err
    said = cli("compare", recipe)
    assert said.code == 2
    assert "nothing to compare it with" in said.err


def test_recipes_on_other_data_are_not_compared(cli: Command, recipe: Path, place: Path) -> None:
    other = write_recipe(place / "other.yaml", {"path": "others.csv"})
    said = cli("compare", recipe, other)
    assert said.code == 2
    assert "recipes.other.data.target" in said.err


def test_a_right_recipe_is_shown_as_one_that_runs(cli: Command, recipe: Path, place: Path) -> None:
    said = cli("validate", recipe, "--set", "train.epochs=5")
    assert said.code == 0, said.err
    told = yaml.safe_load(said.out)
    assert told["train"] == {"epochs": 5}
    (place / "again.yaml").write_text(said.out, encoding="utf-8")
    assert yaml.safe_load(cli("validate", "again.yaml").out) == told


def test_the_shipped_study_is_right_and_shown_whole(cli: Command, place: Path) -> None:
    said = cli("validate", "news-to-reviews")
    assert said.code == 0, said.err
    told = yaml.safe_load(said.out)
    assert told["recipes"]["lora"]["tune"] == "lora"
    assert told["study"]["budgets"] == [50, 200, 1000]
    (place / "again.yaml").write_text(said.out, encoding="utf-8")
    assert yaml.safe_load(cli("validate", "again.yaml").out) == told


def test_a_report_needs_a_study(cli: Command) -> None:
    said = cli("report", "nowhere")
    assert said.code == 2
    assert "nowhere" in said.err


def test_two_runs_in_one_folder_are_refused(cli: Command, recipe: Path, place: Path) -> None:
    (place / "out").mkdir()
    with FileLock(place / "out" / ".lock"):
        said = cli("run", recipe, "--output", "out")
    assert said.code == 2
    assert "another process is working here" in said.err
    assert cli("run", recipe, "--output", "out").code == 0
