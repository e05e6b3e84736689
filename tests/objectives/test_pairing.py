"""Objectives that compare two columns: what they teach, what moves, what they refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from joined_models import joined
from pair_models import COLOURS, pair_job, pair_network, pairs, vectors
from transfuse.errors import RecipeError
from transfuse.evaluation import METRICS
from transfuse.models import (
    COLUMN_FUSIONS,
    Inference,
    LinearHead,
    Network,
    TowerModule,
    load_network,
    save_network,
)
from transfuse.models.feed import Feeds
from transfuse.models.joined import held_columns
from transfuse.models.pairs import nearest, open_pairs
from transfuse.objectives import OBJECTIVES, Facts, StreamTask
from transfuse.recipe import build
from transfuse.tasks import Classification, Matching
from transfuse.training import fit

Tiny = Callable[..., Path]
PAIRED = ("clip", "siglip", "vse", "cca")


def recall(network: Network) -> float:
    return METRICS["text_to_image_r1"](*vectors(network))


@pytest.mark.parametrize(
    "learn",
    [
        "clip",
        {"clip": {"smoothing": 0.1, "hardness": 2.0}},
        "siglip",
        "vse",
        {"vse": {"negatives": "all"}},
        {"cca": {"shrinkage": 0.1}},
    ],
    ids=str,
)
def test_words_find_their_colours(learn: Any, tiny: Tiny, tmp_path: Path) -> None:
    network = pair_network(tiny)
    before = recall(network)
    fit(pair_job(network, tmp_path, learn, epochs=200 if learn == "siglip" else 30))
    assert before <= 0.5
    assert recall(network) >= 0.8


@pytest.mark.parametrize("name", PAIRED)
def test_it_is_refused_without_towers_or_without_pairs(name: str, tiny: Tiny) -> None:
    objective = build(OBJECTIVES, name, "learn")
    encoder = joined(tiny, "text", "image")
    mixed = COLUMN_FUSIONS["gated"](width=8).build(encoder.columns, seed=1)
    network = Network({"columns": encoder}, {"target": LinearHead(8, 2)}, mixed)
    matching = Facts(4, task=StreamTask(Matching(), "target"))
    with pytest.raises(RecipeError, match="compares two columns"):
        objective.module(network, {"target": matching})
    classes = Facts(4, task=StreamTask(Classification(labels=("a", "b")), "target"))
    with pytest.raises(RecipeError, match="which pairs belong together"):
        objective.module(pair_network(tiny), {"target": classes})


def test_only_the_named_column_moves(tiny: Tiny, tmp_path: Path) -> None:
    network = pair_network(tiny)
    before = {name: each.detach().clone() for name, each in network.named_parameters()}
    tune = {"only": {"columns": ["text"], "tune": "full"}}
    fit(pair_job(network, tmp_path, "clip", tune, epochs=2))
    moved = {
        name for name, each in network.named_parameters() if not torch.equal(before[name], each)
    }
    assert any(".parts.text." in name for name in moved)
    assert any(name.startswith("fusion.") for name in moved)
    assert not any(".parts.image." in name for name in moved)
    assert set(dict(network.encoder.encoders())) == {"text", "image"}  # type: ignore[operator]


@pytest.mark.parametrize("locked", ["image", "text"])
def test_a_locked_column_is_encoded_once(
    locked: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = pair_network(tiny)
    encoder: Any = network.encoder
    encoded = []
    collate = type(encoder.parts[locked]).collate

    def counting(self: Any, rows: Any) -> Any:
        encoded.append(len(rows))
        return collate(self, rows)

    monkeypatch.setattr(type(encoder.parts[locked]), "collate", counting)
    (moving,) = {"image", "text"} - {locked}
    job = pair_job(
        network, tmp_path, "clip", {"only": {"columns": [moving], "tune": "full"}}, epochs=4
    )
    fit(job)
    # Of 16 rows each stands there twice; four epochs would be 64, and a probe is 3.
    assert len(COLOURS) <= sum(encoded) <= len(COLOURS) + 3
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    kept = Feeds(network, 0, job.store, job.encode_engine, weights)
    inputs = job.streams["target"].inputs
    said = [
        Inference(network).logits(each.feed(inputs), "target") for each in (kept, Feeds(network))
    ]
    assert torch.allclose(*said, atol=1e-5)


def test_a_fusion_that_reads_tokens_has_them_encoded_anew(tiny: Tiny) -> None:
    encoder = joined(tiny, "text", "image")
    for name, held in (("attention", ()), ("gated", ("image",))):
        mixed = COLUMN_FUSIONS[name](width=8).build(encoder.columns, seed=1)
        network = Network({"columns": encoder}, {"target": LinearHead(8, 2)}, mixed)
        assert held_columns(network, encoder.parts["text"].parameters()) == held


def test_adapters_go_into_the_named_column_alone(tiny: Tiny, tmp_path: Path) -> None:
    network = pair_network(tiny)
    job = pair_job(
        network, tmp_path, "clip", {"only": {"columns": ["text"], "tune": "lora"}}, epochs=1
    )
    names = [name for name, _ in network.named_parameters() if "lora" in name]
    assert names
    assert all(".parts.text." in name for name in names)
    assert not any(".parts.image." in name for stage in job.stages for name in stage.names)


def test_a_column_that_is_not_there_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="imgae"):
        pair_job(pair_network(tiny), tmp_path, "clip", {"only": {"columns": ["imgae"]}})


def test_a_kept_model_finds_the_same_alone(tiny: Tiny, tmp_path: Path) -> None:
    network = pair_network(tiny, hidden=8)
    fit(pair_job(network, tmp_path / "store", "clip", epochs=3))
    both, _ = vectors(network)
    save_network(network, tmp_path / "model")
    again, _ = vectors(load_network(tmp_path / "model"))
    assert np.allclose(both, again, atol=1e-5)
    model = open_pairs(tmp_path / "model")
    records, _ = pairs(1)
    shown, said = model.pictures(records.parts["image"]), model.texts(records.parts["text"])
    # The engine may compute in 16 bits.
    assert np.allclose(np.concatenate([shown, said], 1), both, atol=0.03)
    assert isinstance(network.fusion, TowerModule)
    assert model.scale == pytest.approx(network.fusion.scale.item(), rel=1e-6)
    places, cosines = nearest(said, shown, 3)
    assert places.shape == cosines.shape == (8, 3)
    assert (np.diff(cosines, axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("clip", {"smoothing": 1.0}),
        ("clip", {"hardness": -1.0}),
        ("vse", {"margin": 0.0}),
        ("cca", {"shrinkage": 1.5}),
        ("cca", {"exponent": -1.0}),
        ("siglip", {"weight": -1.0}),
    ],
)
def test_options_are_checked(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        build(OBJECTIVES, {method: options}, "learn")
