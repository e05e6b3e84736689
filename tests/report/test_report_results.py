"""A study is read whole or refused with its place named."""

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic_study import TEN, study_rows, write_study

from transfuse.errors import DataError
from transfuse.report.results import Results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_study(tmp_path, TEN[:4], budgets=(50, 1000), seeds=(0,))


def test_recipes_stand_from_the_best_to_the_worst(ten: Path) -> None:
    results = Results.read(ten)
    scores = [results.score(recipe.name, 1000) for recipe in results.recipes]
    values = [row.value for row in scores if row is not None]
    assert len(values) == 10
    assert values == sorted(values, reverse=True)


def test_a_recipe_without_target_labels_stands_at_every_budget(ten: Path) -> None:
    results = Results.read(ten)
    rows = {results.score("source-only", budget) for budget in results.budgets}
    assert len(rows) == 1
    assert next(iter(rows)).budget == 0


def test_target_and_source_scores_are_kept_apart(ten: Path) -> None:
    results = Results.read(ten)
    target = results.find("score", "full", 200, "accuracy")
    source = results.find("score", "full", 200, "accuracy", split="source")
    assert target.split == "target"
    assert source.split == "source"


def test_recipes_that_only_the_rows_name_are_shown(folder: Path) -> None:
    info = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    info["recipes"] = info["recipes"][:1]
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    assert {recipe.name for recipe in Results.read(folder).given} == {e[0] for e in TEN[:4]}


def test_the_headline_is_a_gain_or_nothing(folder: Path) -> None:
    info = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    info["headline"] = {"row": 0}  # a run, not a gain
    (folder / "study.json").write_text(json.dumps(info), encoding="utf-8")
    results = Results.read(folder)
    assert results.headline is None
    assert results.focus == 1000


def test_little_is_enough(tmp_path: Path) -> None:
    study_rows(TEN[:2], budgets=(50,), seeds=(0,)).to_parquet(tmp_path / "study.parquet")
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    results = Results.read(tmp_path)
    assert results.title == "study"
    assert results.budgets == (50,)
    assert results.baselines == ("scratch", "tfidf")


@pytest.mark.parametrize("name", ["study.json", "study.parquet"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}.*no such file"):
        Results.read(folder)


@pytest.mark.parametrize("name", ["study.json", "study.parquet"])
def test_a_broken_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\x00 not this")
    with pytest.raises(DataError, match=f"{name}.*not readable"):
        Results.read(folder)


def test_all_missing_columns_are_named_at_once(folder: Path) -> None:
    frame = pd.read_parquet(folder / "study.parquet").drop(columns=["p", "x"])
    frame.to_parquet(folder / "study.parquet")
    with pytest.raises(DataError) as caught:
        Results.read(folder)
    assert [problem.what for problem in caught.value.problems] == [
        "has no column 'x'",
        "has no column 'p'",
    ]


def test_a_row_number_that_comes_twice_is_refused(folder: Path) -> None:
    frame = pd.read_parquet(folder / "study.parquet")
    frame["row"] = 3
    frame.to_parquet(folder / "study.parquet")
    with pytest.raises(DataError, match="same number"):
        Results.read(folder)


def test_study_json_that_is_a_list_is_refused(folder: Path) -> None:
    (folder / "study.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="a JSON object"):
        Results.read(folder)
