"""A model of several tasks through the command line."""

import csv
from collections.abc import Callable
from pathlib import Path

import yaml
from cli_helpers import Command, reviews, write_csv


def test_a_model_of_several_tasks_answers_for_the_one_that_is_named(
    cli: Command, place: Path, tiny: Callable[..., Path]
) -> None:
    write_csv(place / "mood.csv", reviews(60, seed=1))
    lengths = [
        (text, "long" if "the" in text.split() else "short") for text, _ in reviews(60, seed=2)
    ]
    write_csv(place / "size.csv", [(f"{text} {row}", s) for row, (text, s) in enumerate(lengths)])
    recipe = {
        "model": {"name": str(tiny("bert")), "pooling": "mean", "max_length": 32},
        "data": {"tasks": {"mood": "mood.csv", "size": "size.csv"}},
        "fusion": "mmoe",
        "tune": {"frozen": {"solve": False}},
        "train": {"epochs": 1, "precision": "fp32"},
    }
    (place / "both.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    said = cli("run", "both.yaml", "--output", "out")
    assert said.code == 0, said.err
    assert "mood: Accuracy" in said.out
    assert "size: Accuracy" in said.out
    assert "mean: Accuracy" in said.out

    model = place / "out" / "model"
    one, other = (
        cli("predict", model, "--text", "a great phone", *task) for task in ((), ("--task", "size"))
    )
    assert "positive" in one.out
    assert "positive" not in other.out
    assert "short" in other.out
    said = cli("predict", model, "size.csv", "--output", "answers.csv", "--task", "size")
    assert said.code == 0, said.err
    with (place / "answers.csv").open(encoding="utf-8", newline="") as file:
        assert {row["prediction"] for row in csv.DictReader(file)} <= {"long", "short"}
    write_csv(place / "new.csv", reviews(10, seed=9))
    assert "10 test rows" in cli("evaluate", model, "new.csv", "--task", "mood").out
    wrong = cli("predict", model, "--text", "a great phone", "--task", "moood")
    assert wrong.code == 2
    assert "Did you mean 'mood'?" in wrong.err

    checked = cli("check", "--recipe", "both.yaml")
    assert checked.code == 2
    assert "the recipe has the tasks mood, size" in checked.err
