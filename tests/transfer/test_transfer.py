"""`transfer` on tiny encoders: the folder that it leaves, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes import small_recipe, write_reviews
from transfuse.answering import load_model
from transfuse.errors import DataError, ModelError
from transfuse.models import Engine
from transfuse.transfer import Engines, read_plan, transfer
from transfuse.transfer.prepared import prepare


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _do(recipe: dict[str, Any], folder: Path) -> Any:
    return transfer(recipe, folder, engines=_Plain())


def _probabilities(folder: Path, texts: list[str]) -> np.ndarray:
    """What transformers alone makes of a model folder."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    return logits.softmax(-1).numpy()


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("tune", ["full", "lora", "lp_ft"])
def test_the_folder_answers_in_transformers_as_it_does_here(
    pooling: str, tune: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune=tune)
    recipe["model"]["pooling"] = pooling
    recipe["split"]["validation"] = 0.0
    result = _do(recipe, tmp_path / "out")
    texts = ["the film so fine and good", "bad", "very poor and bad it was a film"]
    ours = load_model(result.folder, Engine()).scores(texts)
    np.testing.assert_allclose(_probabilities(result.folder, texts), ours, atol=1e-5)
    config = json.loads((result.folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert not list(result.folder.rglob("*.bin")) + list(result.folder.rglob("*.pkl"))
    if tune == "lora":
        adapter = (result.folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8")
        assert json.loads(adapter)["base_model_name_or_path"] == str(tiny("bert"))


def test_the_same_call_again_finds_the_model_and_another_recipe_makes_it_anew(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune="frozen")
    first = _do(recipe, tmp_path / "out")
    again = _do(recipe, tmp_path / "out")
    assert not first.resumed
    assert again.resumed
    assert again.scorecard == first.scorecard
    assert not _do({**recipe, "seed": 1}, tmp_path / "out").resumed


def test_scoring_rows_that_were_learnt_from_is_refused(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune="frozen")
    result = _do(recipe, tmp_path / "out")
    model = load_model(result.folder, Engine())
    prepared = prepare(read_plan(recipe))
    rows = prepared.target.parts
    with pytest.raises(DataError, match="rows were trained on"):
        model.evaluate(prepared.target.table)
    card = model.evaluate(prepared.target.table.take(rows.test))
    assert card.metrics["accuracy"] == pytest.approx(result.scorecard.metrics["accuracy"])
    assert model.evaluate(prepared.target.table, allow_trained_rows=True).rows == 120


@pytest.mark.parametrize("model", ["tfidf", "bert"])
def test_several_labels_and_numbers_go_all_the_way(
    model: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    write_reviews(tmp_path / "target.jsonl")
    written = (tmp_path / "target.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in written.splitlines()]
    for kind, label in (
        ("multilabel", lambda row: [row["label"], "film"] if "film" in row["text"] else []),
        ("regression", lambda row: 2.5 if row["label"] == "good" else -1.5),
    ):
        path = tmp_path / f"{kind}.jsonl"
        lines = [json.dumps({**row, "label": label(row)}) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
        recipe = small_recipe(tmp_path, tiny("bert"), tune="full")
        recipe["data"] = {"target": {"path": str(path)}}
        recipe["train"]["epochs"] = 3
        if model == "tfidf":
            recipe["model"] = "tfidf"
            with pytest.raises(ModelError, match="single-label"):
                _do(recipe, tmp_path / f"out-{kind}-{model}")
            continue
        result = _do(recipe, tmp_path / f"out-{kind}")
        opened = load_model(result.folder, Engine())
        assert opened.task.kind == kind
        answer = opened.predict(["this is good", "so poor"])
        assert len(answer) == 2
        if kind == "regression":
            assert all(isinstance(value, float) for value in answer)
            assert "r2" in result.scorecard.metrics


def test_a_source_with_other_labels_has_a_head_of_its_own(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"), tune="full", learn=["target", "source"])
    lines = (tmp_path / "source.jsonl").read_text(encoding="utf-8").replace('"good"', '"fine"')
    (tmp_path / "source.jsonl").write_text(lines, encoding="utf-8")
    result = _do(recipe, tmp_path / "out")
    assert load_model(result.folder, Engine()).task.label_names == ("bad", "good")
    assert "source_score" not in result.scorecard.metrics
    with pytest.raises(ModelError, match="one head"):
        _do({**recipe, "model": "tfidf"}, tmp_path / "tfidf")


def test_source_rows_that_the_target_is_scored_on_are_left_out(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"))
    recipe["data"]["source"] = recipe["data"]["target"]
    prepared = prepare(read_plan(recipe))
    parts = prepared.target.parts
    scored = prepared.target.table.take(np.concatenate([parts.validation, parts.test]))
    assert prepared.source is not None
    assert not set(prepared.source.table.row_keys()) & set(scored.row_keys())
    assert any("left out" in note for note in prepared.notes)


def test_a_fixed_test_table_is_scored_and_may_not_share_rows(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"))
    other = write_reviews(tmp_path / "test.jsonl", rows=20, seed=5, subject="that")
    recipe["data"]["test"] = str(other)
    prepared = prepare(read_plan(recipe))
    assert len(prepared.target.parts.test) == 20
    tested = prepared.target.table.take(prepared.target.parts.test)
    assert all("that" in text for text in tested.texts())
    recipe["data"]["test"] = recipe["data"]["target"]
    with pytest.raises(DataError, match="stand in"):
        prepare(read_plan(recipe))


def test_budgets_of_one_seed_are_nested_and_the_test_rows_never_move(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    prepared = prepare(read_plan(small_recipe(tmp_path, tiny("bert"))))
    small, large = (set(prepared.training_rows("target", size, 3)) for size in (10, 40))
    assert small < large
    assert small != set(prepared.training_rows("target", 10, 4))
    assert not large & set(prepared.target.parts.test)
    with pytest.raises(DataError, match="budget of 500"):
        prepared.training_rows("target", 500, 0)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(ModelError, match="holds no model"):
        load_model(tmp_path)


def test_the_tfidf_model_answers_the_same_from_its_folder(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "") | {"model": "tfidf"}
    result = _do(recipe, tmp_path / "out")
    model = load_model(result.folder)
    scores = model.scores(["so fine and good", "bad 很差", ""])
    assert scores.shape == (3, 2)
    np.testing.assert_allclose(scores.sum(1), 1.0)
    assert model.predict(["very good and fine", "poor and bad"]) == ["good", "bad"]
