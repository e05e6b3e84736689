"""What a recipe does after training, and what it says of it."""

import gc
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from recipes import small_recipe
from transfuse.answering import load_model, rewrite_scorecard
from transfuse.answering.about import read_about
from transfuse.answering.calibration import Calibration
from transfuse.errors import DataError, ModelError, RecipeError
from transfuse.models import Engine, Store
from transfuse.tasks import Classification
from transfuse.transfer import (
    STAGES,
    Engines,
    Workspace,
    prepare,
    read_plan,
    run_plan,
    transfer,
)
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
    # Both come from recipes of one name.
    assert [each["name"] for each in made[-1]["before"]] == ["small (1)", "small (2)"]
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


def test_what_a_stage_stored_in_16_bits_stays_so(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), then="bfloat16")
    folder = transfer(recipe, tmp_path / "half", engines=_Plain()).folder
    kinds = {str(value.dtype) for value in load_file(folder / "model.safetensors").values()}
    assert kinds == {"torch.bfloat16"}
    assert load_model(folder).scores(TEXTS).shape == (3, 2)


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


def test_a_stage_that_cannot_be_read_is_not_said_to_be_missing() -> None:
    recipe = {"name": "x", "data": {"target": {"path": "x.csv"}}, "then": "averige"}
    with pytest.raises(RecipeError) as caught:
        read_plan(recipe | {"model": {"folders": ["a", "b"]}})
    assert [problem.where for problem in caught.value.problems] == ["then[0]"]


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff"])
def test_a_folder_that_tells_nonsense_is_no_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "transfuse.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"transfuse\.json"):
        load_model(tmp_path)


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


def test_a_made_model_keeps_labels_that_the_rows_at_hand_lack(tmp_path: Path) -> None:
    one = _words(tmp_path)
    lines = (tmp_path / "target.jsonl").read_text(encoding="utf-8").splitlines()
    other = tmp_path / "other.jsonl"
    rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        # A label that comes first in the order of names, and texts that the other never saw.
        row |= {"text": f"once {row['text']}", "label": row["label"] if number % 3 else "awful"}
    other.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = small_recipe(tmp_path, "unused") | {"model": "tfidf", "learn": "target"}
    recipe["data"] = {"target": {"path": str(other)}}
    two = transfer(recipe, tmp_path / "two", engines=_Plain()).folder

    both = derived([two, one], ["average"], data=tmp_path / "target.jsonl")
    model = load_model(transfer(both, tmp_path / "both", engines=_Plain()).folder)
    assert model.task.label_names == ("awful", "bad", "good")
    assert model.scores(TEXTS).shape == (3, 3)
    assert model.predict(TEXTS[:2]) == ["good", "bad"]
    kept = Calibration.load(model.path)
    assert kept is not None
    assert kept.scores.shape[1] == 3
    assert set(kept.targets.tolist()) == {1, 2}


def test_a_made_model_answers_numbers_on_the_labels_own_scale(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), task="regression", learn="target")
    lines = (tmp_path / "target.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    numbers = tmp_path / "numbers.jsonl"
    numbers.write_text(
        "".join(
            json.dumps(row | {"label": 120.0 if row["label"] == "good" else 80.0}) + "\n"
            for row in rows
        ),
        encoding="utf-8",
    )
    recipe["data"] = {"target": {"path": str(numbers)}}
    plain = load_model(transfer(recipe, tmp_path / "plain", engines=_Plain()).folder, Engine())
    again = transfer(derived([plain.path], ()), tmp_path / "again", engines=_Plain()).folder
    np.testing.assert_allclose(load_model(again, Engine()).scores(TEXTS), plain.scores(TEXTS))
    small = transfer(recipe | {"then": "bfloat16"}, tmp_path / "small", engines=_Plain()).folder
    scores = load_model(small, Engine()).scores(TEXTS)
    np.testing.assert_allclose(scores, plain.scores(TEXTS), rtol=0.02)


def test_rows_that_a_stage_learns_from_are_told(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    one = transfer(small_recipe(tmp_path, tiny("bert")), tmp_path / "one", engines=_Plain()).folder
    text = (tmp_path / "target.jsonl").read_text(encoding="utf-8")
    other = tmp_path / "other.jsonl"
    other.write_text(text.replace('"text": "', '"text": "once '), encoding="utf-8")
    recover = {"prune_layers": {"layers": 2, "recover": {"max_steps": 2}}}
    found = {}
    for name, stage in (("cut", recover), ("half", "bfloat16")):
        made = transfer(derived([one], [stage], data=other), tmp_path / name, engines=_Plain())
        found[name] = load_model(made.folder).training_keys - load_model(one).training_keys
    assert len(found["cut"]) == 72
    assert not found["half"]


def test_a_model_as_it_stands_sees_no_labels_to_be_calibrated_by(tmp_path: Path) -> None:
    one = _words(tmp_path)
    rewrite_scorecard(one, replace(load_model(one).scorecard, temperature=1.75))
    plan = read_plan(derived([one], ()))
    assert not plan.reads_labels
    again = load_model(transfer(plan, tmp_path / "again", engines=_Plain()).folder)
    assert again.temperature == 1.75
    assert "ece_scaled" in again.scorecard.metrics


def test_nothing_is_searched_where_nothing_is_learnt() -> None:
    recipe = {"name": "x", "model": {"folders": ["a"]}, "data": {"target": {"path": "x.csv"}}}
    recipe |= {"then": "bfloat16", "search": {"train.epochs": [1, 2]}}
    with pytest.raises(RecipeError, match="nothing is learnt"):
        read_plan(recipe)


def test_a_stage_without_a_name_is_refused_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read_plan(derived([_words(tmp_path)], [{}]))
    assert caught.value.problems[0].where == "then[0]"


def test_scratch_of_a_run_without_a_folder_goes_with_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _words(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    plan = read_plan(derived([one, one], ["average"]))
    workspace = Workspace(prepare(plan), _Plain(), Store(tmp_path / "store"))
    outcome = run_plan(plan, workspace)
    assert len(outcome.trained.read(TEXTS)) == len(TEXTS)
    assert list(scratch.glob("transfuse-*"))
    del outcome
    gc.collect()
    assert not list(scratch.glob("transfuse-*"))
    broken = read_plan(derived([one, one], ["ties"]))
    with pytest.raises(ModelError):
        run_plan(broken, workspace)
    assert not list(scratch.glob("transfuse-*"))
