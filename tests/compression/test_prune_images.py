"""Pruning of networks of pictures: smaller dense folders that plain transformers opens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from merge_models import quiet
from picture_models import ancestor, kept, seen_descendant, seen_evidence, shown
from transfuse.answering import Answerer, ModelFolder
from transfuse.compression import COMPRESSIONS
from transfuse.errors import TransfuseError
from transfuse.models import Network, keep_layers
from transfuse.recipe import build

NOT = {"epochs": 0}
Models = Callable[[str], ModelFolder]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    made: dict[str, ModelFolder] = {}

    def model(kind: str) -> ModelFolder:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            source = ancestor(folder / "source", kind)
            made[kind] = seen_descendant(folder / "model", source, seed=0, size=0.1)
        return made[kind]

    return model


def make(name: str, model: ModelFolder, **options: Any) -> Any:
    stage = build(COMPRESSIONS, {name: options}, "then")
    return stage.make([model], seen_evidence(), 0, quiet)


def opened_plainly(folder: Path, network: Network) -> Any:
    """The folder in plain transformers, which gives what the network gives."""
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    assert not type(model).__name__.startswith("Transfuse")
    pixels = network.encoder.normalised(network.encoder.probe_batch()["pixels"])
    with torch.no_grad():
        (expected,) = network(network.encoder.probe_batch()).logits.values()
        torch.testing.assert_close(model(pixel_values=pixels).logits, expected)
    return model.config


@pytest.mark.parametrize(
    ("kind", "by"), [("vit", "taylor"), ("dinov2", "similarity"), ("beit", "spread")]
)
def test_fewer_layers(kind: str, by: str, models: Models, tmp_path: Path) -> None:
    made = make("prune_layers", models(kind), layers=2, by=by, recover=NOT)
    assert made.told["layers"] == [3, 2]
    assert made.told["parameters"][1] < made.told["parameters"][0]
    kept(tmp_path / "out", made.model, made.task, {})
    assert opened_plainly(tmp_path / "out", made.model).num_hidden_layers == 2


@pytest.mark.parametrize(
    ("kind", "by", "width"), [("vit", "taylor", [32, 16]), ("dinov2", "magnitude", [48, 24])]
)
def test_narrower_layers(
    kind: str, by: str, width: list[int], models: Models, tmp_path: Path
) -> None:
    made = make("prune_width", models(kind), keep=0.5, by=by, recover=NOT)
    assert made.told["width"] == width
    kept(tmp_path / "out", made.model, made.task, {})
    config = opened_plainly(tmp_path / "out", made.model)
    said = config.intermediate_size if kind == "vit" else config.hidden_size * config.mlp_ratio
    assert said == width[1]


def test_fewer_heads_where_the_architecture_has_a_width_of_heads(
    models: Models, tmp_path: Path
) -> None:
    made = make("prune_heads", models("vit"), keep=0.67, recover=NOT)
    assert made.told["heads"] == [3, 2]
    kept(tmp_path / "out", made.model, made.task, {})
    config = opened_plainly(tmp_path / "out", made.model)
    assert (config.num_attention_heads, config.head_dim) == (2, 8)


def test_neurons_that_say_nothing_go_first_and_nothing_is_lost(models: Models) -> None:
    model = models("vit")
    network = model.model
    for block in network.encoder.anatomy.blocks:
        with torch.no_grad():
            (linear,) = [
                part
                for part in block.modules()
                if isinstance(part, torch.nn.Linear) and part.in_features == 32
            ]
            linear.weight[:, ::2] = 0
    made = make("prune_width", model, keep=0.5, recover=NOT)
    assert made.told["score_kept"] == [1.0] * 3
    batch = network.encoder.probe_batch()
    with torch.no_grad():
        (ours,), (theirs,) = made.model(batch).logits.values(), network(batch).logits.values()
    torch.testing.assert_close(ours, theirs)


def test_it_recovers_on_pictures(models: Models) -> None:
    model = models("vit")
    cut = make("prune_layers", model, layers=1, by="first", recover=NOT)
    learnt = make(
        "prune_layers", model, layers=1, by="first",
        recover={"epochs": 6, "learning_rate": 2e-3, "labels": 0.0},
    )  # fmt: skip
    assert learnt.told["recovery"]["steps"] > 0
    encoder = model.model.encoder
    rows = encoder.collate(encoder.preprocess(seen_evidence().train.inputs()))
    vectors = []
    for network in (model.model, cut.model, learnt.model):
        with torch.no_grad():
            vectors.append(network.encoder(rows).pooled)
    whole, before, after = vectors
    distance = torch.nn.functional.cosine_similarity
    assert distance(whole, after).mean() > distance(whole, before).mean()


@pytest.mark.parametrize(
    "kind", ["small", "lite", "convnext", "swin", "mobilenet-v2", "efficientnet"]
)
def test_what_no_config_can_say_is_told_with_a_way_out(kind: str, models: Models) -> None:
    for name in ("prune_layers", "prune_width", "prune_heads"):
        with pytest.raises(TransfuseError, match="istil it into a smaller model"):
            make(name, models(kind))
    with pytest.raises(TransfuseError, match="cannot say that there are fewer layers"):
        keep_layers(models(kind).model, 1)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_compression_works_on_pictures_or_says_why_not(name: str, models: Models) -> None:
    options: dict[str, Any] = {"recover": NOT} if name.startswith("prune") else {}
    try:
        stage = build(COMPRESSIONS, {name: options}, "then")
        made = stage.make([models("vit")] * stage.least, seen_evidence(), 0, quiet)
    except TransfuseError as error:
        reason = str(error)
        assert name in reason or "TextEncoder" in reason or "text" in reason
        return
    if isinstance(made.model, Answerer):
        scores = made.model.scores(shown(2))
    else:
        scores = kept_scores(made.model)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-2)


def kept_scores(network: Network) -> np.ndarray[Any, Any]:
    """What a network answers to two pictures."""
    encoder = network.encoder
    with torch.no_grad():
        (logits,) = network(encoder.collate(encoder.preprocess(shown(2)))).logits.values()
    return logits.float().softmax(-1).numpy()
