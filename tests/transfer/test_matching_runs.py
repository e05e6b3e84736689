"""Recipes that match pictures with texts, from files to a model folder that is asked again."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from joined_models import RESNET, SIZE, picture
from pair_models import COLOURS
from transfuse.answering import load_model
from transfuse.data import Table
from transfuse.data.samples import SAMPLES
from transfuse.errors import RecipeError, TransfuseError
from transfuse.models.images.processing import PROCESSOR_FILE, default_settings
from transfuse.transfer import read_plan, transfer

Tiny = Callable[..., Path]


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resnet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(transformers.ResNetConfig(**RESNET))
    model.save_pretrained(folder)
    (folder / PROCESSOR_FILE).write_text(json.dumps(default_settings(SIZE)))
    return folder


def written(folder: Path, shades: int = 6) -> Path:
    """Pictures in shades of the colours, each with two captions."""
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["shown", "said", "thing", "colour"])
        for shade in range(shades):
            for number, (text, colour) in enumerate(COLOURS.items()):
                path = folder / f"{number}-{shade}.png"
                path.write_bytes(picture(*(max(0, each - 5 * shade) or shade for each in colour)))
                for more in ("it is", "so"):
                    said = f"{text} {more} {shade}"
                    writer.writerow([path.name, said, f"{number}-{shade}", text])
    return folder / "pairs.csv"


def recipe(folder: Path, tiny: Tiny, images: Path, **more: Any) -> dict[str, Any]:
    columns = {"text": {"name": str(tiny("bert")), "pooling": "mean", "max_length": 16},
               "image": {"name": str(images), "size": SIZE}}  # fmt: skip
    target = {"path": str(written(folder)), "image": "shown", "text": "said", "group": "thing"}
    return {
        "model": {"columns": columns, "fusion": {"towers": {"width": 8, "dropout": 0.0}}},
        "data": {"target": {**target, "label": None}},
        "clean": {"duplicates": False},
        "split": {"test": 0.3, "validation": 0.0},
        "task": "matching",
        "learn": "clip",
        "tune": "frozen",
        "train": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
        **more,
    }


def test_a_run_leaves_a_model_that_answers_pairs(
    tiny: Tiny, image_model: Path, tmp_path: Path
) -> None:
    result = transfer(recipe(tmp_path, tiny, image_model), tmp_path / "run")
    metrics = result.scorecard.metrics
    assert set(metrics) >= {"mean_recall", "text_to_image_r10", "image_to_text_median_rank"}
    model = load_model(result.folder)
    table = Table.from_dict(
        {"shown": [picture(255), picture(0, 255)], "said": ["a good film", "bad"]},
        roles={"image": "shown", "text": "said", "label": None, "group": None},
    )
    answers = model.predict(table.inputs(model.reads))
    assert np.abs(answers).max() <= 1.01
    assert model.evaluate(table).metrics["mean_recall"] <= 1
    # The same call does nothing again.
    assert transfer(recipe(tmp_path, tiny, image_model), tmp_path / "run").resumed


def test_pictures_find_their_names_in_another_language(
    tiny: Tiny, image_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict(zip("红绿蓝黄青紫白黑", COLOURS.values(), strict=True))
    rows = [
        {"image": picture(*colour), "name": f"{said}色", "language": language, "drawing": chinese}
        for chinese, colour in names.items()
        for language, said in (("zh", chinese), ("en", "colour"))
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    made = replace(SAMPLES["emoji-names"], archives=(), extract=lambda _: columns)
    monkeypatch.setitem(SAMPLES, "emoji-names", made)
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "cache"))
    plain = recipe(tmp_path, tiny, image_model, learn="cca")
    reading = tmp_path / "chinese"
    shutil.copytree(tiny("bert"), reading)
    tokenizer = transformers.AutoTokenizer.from_pretrained(reading)
    tokenizer.add_tokens([*names, "色"])
    tokenizer.save_pretrained(reading)
    plain["model"]["columns"]["text"]["name"] = str(reading)
    plain["data"] = {"target": {"sample": "emoji-names", "where": {"language": "zh"}}}
    result = transfer(plain, tmp_path / "run")
    assert 0 < result.scorecard.metrics["text_to_image_r10"] <= 1
    told = load_model(result.folder).model.encoder.parts["text"].preprocess(["红色", "绿色"])
    assert told.keys()[0] != told.keys()[1]


def test_the_closed_form_and_then_classes_by_their_names(
    tiny: Tiny, image_model: Path, tmp_path: Path
) -> None:
    plain = recipe(tmp_path, tiny, image_model, learn={"cca": {"shrinkage": 0.1}})
    result = transfer(plain, tmp_path / "run")
    assert result.scorecard.metrics["text_to_image_r10"] > 0.4
    zero_shot = {
        "model": {"zero_shot": {"pairs": str(result.folder), "template": "{} it is"}},
        "data": {
            "target": {
                "path": str(tmp_path / "pairs.csv"),
                "image": "shown",
                "label": "colour",
                "group": "thing",
                "text": None,
            }
        },
        "clean": {"duplicates": False},
        "split": {"test": 0.5, "validation": 0.0},
    }
    named = transfer(zero_shot, tmp_path / "named")
    assert named.scorecard.metrics["accuracy"] > 0.25
    again = load_model(named.folder)
    shown = Table.from_dict(
        {"shown": [picture(255), picture(0, 255)]},
        roles={"image": "shown", "text": None, "label": None, "group": None},
    )
    assert set(again.predict(shown.inputs(again.reads))) <= set(COLOURS)


def test_captions_are_made_of_labels(tiny: Tiny, image_model: Path, tmp_path: Path) -> None:
    told = recipe(tmp_path, tiny, image_model, task={"matching": {"equal_captions": True}})
    told["data"]["target"] |= {"text": None, "label": "colour", "group": None, "captions": "so {}"}
    told["split"] = {"test": 0.5, "validation": 0.0}
    result = transfer(told, tmp_path / "run")
    assert result.scorecard.metrics["mean_recall"] > 0


def test_matching_without_towers_is_refused(tiny: Tiny, image_model: Path, tmp_path: Path) -> None:
    told = recipe(tmp_path, tiny, image_model)
    told["model"]["fusion"] = "gated"
    with pytest.raises(TransfuseError, match="towers"):
        transfer(told, tmp_path / "run")


def test_a_plan_says_the_same_again(tiny: Tiny, image_model: Path, tmp_path: Path) -> None:
    told = recipe(
        tmp_path, tiny, image_model, tune={"only": {"columns": ["text"], "tune": {"lora": None}}}
    )
    plan = read_plan(told)
    again = {key: each for key, each in plan.recipe().items() if each is not None}
    assert read_plan(again) == plan
    with pytest.raises(RecipeError, match=r"lroa|lora"):
        read_plan({**told, "tune": {"only": {"tune": "lroa"}}})
