"""Several tasks over one encoder of pictures: one folder, and back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from picture_models import SIZE, ancestor
from transfuse.errors import ModelError
from transfuse.models import FUSIONS, LinearHead, Network, load_network, save_network
from transfuse.models.images import image_encoder
from transfuse.recipe import build

LABELS = {"shade": ("dark", "light"), "kind": ("cat", "dog", "owl")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ancestor(tmp_path_factory.mktemp("source"), "small")


def of_tasks(source: Path, fusion: str | None = None) -> Network:
    encoder = image_encoder(source, size=SIZE)
    made, dim = None, encoder.dim
    if fusion is not None:
        made = build(FUSIONS, fusion, "fusion").build(dim, tuple(LABELS), 0)
        dim = made.dim
    heads: Any = {
        name: LinearHead(
            dim, len(labels), 0.2, place, labels=labels, problem_type="single_label_classification"
        )
        for place, (name, labels) in enumerate(LABELS.items())
    }
    return Network({"photo": encoder}, heads, made).eval()


@pytest.mark.parametrize("fusion", [None, *FUSIONS])
def test_back_and_forth(fusion: str | None, source: Path, tmp_path: Path) -> None:
    network = of_tasks(source, fusion)
    save_network(network, tmp_path)
    again = load_network(tmp_path)
    assert list(again.encoders) == ["photo"]
    assert {name: head.labels for name, head in again.heads.items()} == LABELS
    assert [head.dropout.p for head in again.heads.values()] == [0.2, 0.2]
    batch = network.encoder.probe_batch()
    with torch.no_grad():
        ours, theirs = network(batch).logits, again(batch).logits
    for name, logits in ours.items():
        torch.testing.assert_close(theirs[name], logits)


def test_the_encoder_within_opens_as_any_other(source: Path, tmp_path: Path) -> None:
    network = of_tasks(source)
    save_network(network, tmp_path)
    encoder = image_encoder(tmp_path / "image")
    batch = encoder.probe_batch()
    with torch.no_grad():
        torch.testing.assert_close(encoder(batch).pooled, network.encoder(batch).pooled)


def test_what_is_missing_is_told(source: Path, tmp_path: Path) -> None:
    save_network(of_tasks(source), tmp_path)
    config = tmp_path / "config.json"
    told = json.loads(config.read_text())
    told["heads"][0]["outputs"] = 5
    told["heads"][0]["labels"] = list("abcde")
    config.write_text(json.dumps(told))
    with pytest.raises(ModelError, match="the weights cannot be read"):
        load_network(tmp_path)
