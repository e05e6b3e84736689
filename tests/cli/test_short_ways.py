"""adapt, distill and fewshot: shipped recipes on a person's own tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_helpers import Command

from recipes import write_reviews
from transfuse.cli import short_ways
from transfuse.study import StudyPlan, read_study


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., StudyPlan]:
    """What a command would do, without doing it."""
    from transfuse.cli import main

    write_reviews(tmp_path / "mine.jsonl")
    write_reviews(tmp_path / "theirs.jsonl", seed=1)
    monkeypatch.chdir(tmp_path)
    told: list[dict[str, Any]] = []

    def keep(_session: Any, recipe: dict[str, Any], _output: Path | None) -> None:
        told.append(recipe)

    monkeypatch.setattr(short_ways, "do_recipe", keep)

    def ask(*arguments: str) -> StudyPlan:
        assert main(list(arguments)) == 0
        return read_study(told[-1])

    return ask


def test_adapt_withholds_the_targets_labels_from_all_but_the_oracle(
    asked: Callable[..., StudyPlan],
) -> None:
    study = asked("adapt", "mine.jsonl", "--source", "theirs.jsonl", "--model", "some-model")
    assert study.name == "adapt-mine"
    assert {"source-only", "oracle", "mcc", "shot"} <= set(study.plans)
    for name, plan in study.plans.items():
        assert ("target" in plan.streams) == (name == "oracle")
        chosen_freely = plan.train.select != "validation"
        assert chosen_freely == (name not in {"source-only", "oracle", "coral-probe"})
    assert study.plans["mcc"].data["source"].path == "theirs.jsonl"
    assert {plan.model.name for name, plan in study.plans.items() if name != "shot"} == {
        "some-model"
    }


def test_adapt_tries_the_objectives_that_are_named(asked: Callable[..., StudyPlan]) -> None:
    study = asked("adapt", "mine.jsonl", "--source", "theirs.jsonl", "--learn", "cdan")
    assert list(study.plans) == ["source-only", "oracle", "cdan"]


def test_distill_makes_a_student_of_each_size(asked: Callable[..., StudyPlan]) -> None:
    study = asked("distill", "mine.jsonl", "--layers", "2", "--layers", "1", "--no-static")
    assert list(study.plans) == ["teacher", "layers-2", "layers-1", "layers-2-alone"]
    assert study.plans["layers-1"].model.layers == 1
    assert study.plans["layers-2-alone"].model.layers == 2
    assert study.baselines == ("layers-2-alone",)


def test_fewshot_counts_rows_of_each_class(asked: Callable[..., StudyPlan]) -> None:
    study = asked("fewshot", "mine.jsonl", "--shots", "4", "--shots", "2", "--seed", "7")
    assert study.comparison.shots == (4, 2)
    assert study.comparison.seeds == (7,)
    assert "zero-shot" not in study.plans


@pytest.mark.slow
def test_a_real_adaptation_ends_in_a_report(
    cli: Command, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    mine, theirs = tmp_path / "mine.jsonl", tmp_path / "theirs.jsonl"
    write_reviews(mine)
    write_reviews(theirs, seed=1, subject="book")
    folder = tmp_path / "out"
    said = cli(
        *("adapt", str(mine), "--source", str(theirs), "--model", str(tiny("bert"))),
        *("--learn", "mcc", "--output", str(folder), "--seed", "0"),
        *("--set", "train.max_steps=4", "--set", "study.workers=0"),
        *("--set", "train.evaluations=2", "--set", "tune.top.layers=1"),
    )
    assert said.code == 0, said.err
    assert "regret" in said.out
    told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [recipe["name"] for recipe in told["recipes"]] == ["source-only", "oracle", "mcc"]
    table = pd.read_parquet(folder / "study.parquet")
    assert set(table[table.kind == "choice"].recipe) == {"mcc"}
    assert (folder / "report.html").exists()


def test_a_table_that_is_not_there_is_named(cli: Command, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.csv"
    said = cli("adapt", str(missing), "--source", str(missing), "--output", str(tmp_path / "out"))
    assert said.code == 2
    assert "nowhere.csv" in said.err
    assert not (tmp_path / "out" / "study.parquet").exists()
