"""`fuse`, `compress` and `export` on model folders: recipes made of them, and what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recipes import small_recipe
from transfuse.answering import load_model
from transfuse.cli.app import main
from transfuse.models import Engine
from transfuse.study import read_study, shrink
from transfuse.study.fusing import fusing
from transfuse.study.shrink import AS_IT_IS, shrinking
from transfuse.transfer import Engines, transfer


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _trained(folder: Path, name: str, **more: Any) -> Path:
    recipe = small_recipe(folder, "unused") | {"name": name} | more
    return transfer(recipe, folder / name, engines=_Plain()).folder


def _words(folder: Path, name: str, words: int) -> Path:
    return _trained(folder, name, model={"tfidf": {"words": words}}, learn="target")


def test_fuse_measures_models_of_transfuse_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [_words(tmp_path, f"m{words}", words) for words in (1, 2)]
    assert main(["fuse", "learned", *map(str, models), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("m1", "m2", "learned", "difference", "on disk"))
    scores = load_model(tmp_path / "out" / "model").scores(["a very good film", "so poor"])
    assert scores.shape == (2, 2)


def test_fuse_takes_options_of_the_stage_and_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(_words(tmp_path, f"m{words}", words)) for words in (1, 2)]
    out = ["--output", str(tmp_path / "out")]
    assert main(["fuse", "averige", *models, *out]) == 2
    assert "average" in capsys.readouterr().err
    assert main(["fuse", "average", *models, "--option", "weights=[1]", *out]) == 2
    assert main(["fuse", "average", models[0], *out]) == 2
    assert "2 or more" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "model").exists()


def test_compress_does_the_stages_that_it_is_given(
    tmp_path: Path, tiny: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_recipe(tmp_path, tiny("bert"))
    model = _trained(tmp_path, "whole", model=recipe["model"])
    out = tmp_path / "out"
    stage = "prune_width: {keep: 0.5, multiple: 1, recover: {epochs: 0}}"
    assert main(["compress", str(model), stage, "--output", str(out)]) == 0
    assert "prune_width" in capsys.readouterr().out
    whole, small = load_model(model), load_model(out / "model")
    counts = [sum(each.numel() for each in opened.model.parameters()) for opened in (whole, small)]
    assert counts[1] < counts[0]


def test_export_knows_its_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--to", "tflite"]) == 2
    assert "onnx" in capsys.readouterr().err


def test_the_searches_are_studies_that_validate(tmp_path: Path) -> None:
    models = [_words(tmp_path, f"m{words}", words) for words in (1, 2)]
    study = read_study(fusing(models))
    assert study.baselines == ("model-1",)
    assert {"model-1", "model-2", "learned"} <= set(study.plans)
    # Words have no weights to be merged.
    assert "soup" not in study.plans
    light = read_study(shrinking(models[0], keep=0.95))
    assert light.comparison.keep == "lightest"
    assert light.comparison.within == 0.95
    assert light.baselines == (AS_IT_IS,)


def test_the_searches_try_what_suits_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [_words(tmp_path, f"m{words}", words) for words in (1, 2)]
    for model in models:
        about = json.loads((model / "transfuse.json").read_text(encoding="utf-8"))
        about |= {"task": {"regression": {"mean": 0.0, "deviation": 1.0}}, "kind": "network"}
        about["recipe"] |= {"task": "regression", "model": {"pretrained": {"name": "some"}}}
        (model / "transfuse.json").write_text(json.dumps(about), encoding="utf-8")
    recipes = fusing(models)["recipes"]
    assert {"average", "learned", "soup", "wemoe"} <= set(recipes)
    assert not {"stacking", "gate", "layerwise"} & set(recipes)
    monkeypatch.setattr(shrink, "find_spec", lambda name: None)
    recipes = shrinking(models[0])["recipes"]
    assert "int8" in recipes
    assert not [name for name in recipes if "openvino" in name]
    assert recipes["static"]["learn"] == ["target"]

    # Cut after training, it is no longer what the other is.
    about["made"] = [{"stage": {"prune_layers": {}}}]
    (models[1] / "transfuse.json").write_text(json.dumps(about), encoding="utf-8")
    assert "soup" not in fusing(models)["recipes"]
    about["recipe"]["model"] = {"static": {"of": "some"}}
    (models[1] / "transfuse.json").write_text(json.dumps(about), encoding="utf-8")
    monkeypatch.setattr(shrink, "find_spec", lambda name: name)
    recipes = shrinking(models[1])["recipes"]
    assert {AS_IT_IS, "int8", "openvino"} <= set(recipes)
    assert not {"static", "width-openvino", "layers-openvino"} & set(recipes)


def test_the_search_leaves_out_what_is_for_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _words(tmp_path, "m", 1)
    about = json.loads((model / "transfuse.json").read_text(encoding="utf-8"))
    about |= {"columns": {"image": "image", "label": "label"}}
    about["recipe"] |= {"model": {"pretrained": {"name": "some"}}}
    (model / "transfuse.json").write_text(json.dumps(about), encoding="utf-8")
    assert shrink.left_out(model) == ("trim_vocabulary", "static")
    monkeypatch.setattr(shrink, "find_spec", lambda name: name)
    recipes = shrinking(model)["recipes"]
    assert {AS_IT_IS, "bfloat16", "int8", "width-openvino"} <= set(recipes)
    assert not {"static", "vocabulary", "words-int8"} & set(recipes)
    assert recipes["width-openvino"]["then"] == ["prune_width", "openvino"]
    assert recipes["width-openvino"]["title"] == "Half the width, 8 bits"


def test_a_share_to_keep_beside_stages_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", str(tmp_path), "int8", "--keep", "0.9"]) == 2
    assert "--keep problem is given beside stages" in " ".join(capsys.readouterr().err.split())


def test_sets_are_not_fitted_on_the_rows_that_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\na,b\n", encoding="utf-8")
    again = tmp_path / "." / "rows.csv"
    words = ["evaluate", str(tmp_path), str(rows), "--sets", "0.9", "--calibrate", str(again)]
    assert main(words) == 2
    assert "the rows that are scored" in " ".join(capsys.readouterr().err.split())
