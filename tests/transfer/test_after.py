"""What a recipe does after training, and what it says of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes import small_recipe
from transfuse.answering import load_model
from transfuse.answering.about import read_about
from transfuse.errors import DataError, ModelError, RecipeError
from transfuse.models import Engine
from transfuse.tasks import Classification
from transfuse.transfer import STAGES, Engines, read_plan, transfer
from transfuse.transfer.derived import derived
from transfuse.transfer.trained import aligned

TEXTS = ["the film so fine and good", "a very poor book", "it was a film"]


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _words(folder: Path, **more: Any) -> Path:
    recipe = small_recipe(folder, "unused") | {"model": {"tfidf": more}, "learn": "target"}
    name = "-".join(f"{key}{value}" for key, value in more.items()) or "plain"
    return transfer(recipe, folder / name, engines=_Plain()).folder


def _made(folder: Path, out: Path, **more: Any) -> Path:
    return transfer(small_recipe(folder, "unused") | more, out, engines=_Plain()).folder


def test_two_folders_become_one_that_answers_between_them(tmp_path: Path) -> None:
    one, two = _words(tmp_path, words=1), _words(tmp_path, words=2)
    folder = _made(
        tmp_path,
        tmp_path / "both",
        model={"folders": [str(one), str(two)]},
        then={"average": {"weights": [0.25, 0.75]}},
    )
    parts = [load_model(each).scores(TEXTS) for each in (one, two)]
    model = load_model(folder)
    raw = model.model.scores(TEXTS)  # type: ignore[union-attr]
    np.testing.assert_allclose(raw, 0.25 * parts[0] + 0.75 * parts[1], atol=1e-9)
    made = read_about(folder)["made"]
    assert made[0]["stage"] == {"average": {"weights": [0.25, 0.75]}}
    assert len(made[-1]["before"]) == 2
    assert all(each["low"] <= each["gain"] <= each["high"] for each in made[-1]["before"])
    assert model.training_keys == load_model(one).training_keys
    assert not (tmp_path / "both" / "then").exists()


def test_stages_follow_training_in_the_same_recipe(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), then="bfloat16")
    folder = transfer(recipe, tmp_path / "out", engines=_Plain()).folder
    alone = _made(tmp_path, tmp_path / "alone", model=recipe["model"])
    ours, theirs = (load_model(each, Engine()).scores(TEXTS) for each in (folder, alone))
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    assert transfer(recipe, tmp_path / "out", engines=_Plain()).resumed


def test_a_model_as_it_stands_is_measured_again_on_the_same_rows(tmp_path: Path) -> None:
    one = _words(tmp_path)
    again = transfer(derived([one], ()), tmp_path / "again", engines=_Plain())
    assert again.scorecard.metrics["accuracy"] == load_model(one).scorecard.metrics["accuracy"]
    assert {"latency_ms", "row_ms", "size_mb"} <= set(again.scorecard.costs)


def test_a_model_that_learnt_the_scored_rows_is_refused(tmp_path: Path) -> None:
    one = _words(tmp_path)
    # Without documents the rows fall otherwise into parts.
    text = (tmp_path / "target.jsonl").read_text(encoding="utf-8")
    other = tmp_path / "other.jsonl"
    other.write_text(text.replace('"document"', '"page"'), encoding="utf-8")
    with pytest.raises(DataError, match="were learnt by"):
        transfer(derived([one, one], ["average"], data=other), tmp_path / "x", engines=_Plain())


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"model": {"folders": ["a", "b"]}}, "then"),
        ({"model": {"folders": []}, "then": "average"}, "model"),
        ({"then": "averige"}, "then[0]"),
        ({"then": [{"average": {"wieghts": [1]}}]}, "then[0]"),
        ({"model": {"folders": ["a", "b"]}, "then": "cascade", "split": 3}, "split"),
    ],
)
def test_mistakes_are_told_with_their_place(more: dict[str, Any], where: str) -> None:
    recipe = {"name": "x", "model": "m", "data": {"target": {"path": "x.csv"}}} | more
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe)
    assert any(problem.where.startswith(where) for problem in caught.value.problems)


def test_without_validation_rows_there_is_nothing_to_choose_by(tmp_path: Path) -> None:
    none = {"test": 0.3, "validation": 0.0}
    one = _made(tmp_path, tmp_path / "one", model="tfidf", learn="target", split=none)
    with pytest.raises(DataError, match="no validation rows"):
        transfer(derived([one, one], ["average"]), tmp_path / "out", engines=_Plain())


def test_names_of_stages_are_unlike() -> None:
    from transfuse.compression import COMPRESSIONS
    from transfuse.fusion import ANSWERS, MERGES

    assert len(STAGES) == len(ANSWERS) + len(MERGES) + len(COMPRESSIONS)


def test_scores_follow_the_names_of_labels() -> None:
    have = Classification(labels=("a", "b", "c"))
    scores = np.array([[0.2, 0.3, 0.5]])
    turned = aligned(scores, have, Classification(labels=("c", "a", "b")))
    np.testing.assert_allclose(turned, [[0.5, 0.2, 0.3]])
    fewer = aligned(scores, have, Classification(labels=("c", "a")))
    np.testing.assert_allclose(fewer, [[5 / 7, 2 / 7]])
    with pytest.raises(ModelError, match="knows no label"):
        aligned(scores, have, Classification(labels=("a", "d")))
