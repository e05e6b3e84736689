"""A network of several columns as a folder, and back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from joined_models import joined, some_records
from transfuse.errors import ModelError
from transfuse.models import COLUMN_FUSIONS, LinearHead, Network, load_network, save_network

Tiny = Callable[..., Path]
LABELS = ("agree", "differ")


def _network(tiny: Tiny, fusion: str = "gated", *columns: str, **options: Any) -> Network:
    encoder = joined(tiny, *columns)
    fused = COLUMN_FUSIONS[fusion](width=8, **options).build(encoder.columns, seed=1)
    heads = {
        "target": LinearHead(
            8, 2, 0.2, 1, labels=LABELS, problem_type="single_label_classification"
        ),
        "source": LinearHead(8, 1, labels=["stars"], problem_type="regression"),
    }
    return Network({"columns": encoder}, heads, fused).eval()


def _logits(network: Network) -> dict[str, torch.Tensor]:
    encoder = network.encoder
    with torch.no_grad():
        return network(encoder.collate(encoder.preprocess(some_records()))).logits


@pytest.mark.parametrize("fusion", ["concat", "gated", "attention"])
def test_it_loads_back_to_the_same_answers(fusion: str, tmp_path: Path, tiny: Tiny) -> None:
    network = _network(tiny, fusion, dropout_of_columns=0.3)
    save_network(network, tmp_path / "model")
    found = load_network(tmp_path / "model")
    for head, logits in _logits(network).items():
        torch.testing.assert_close(_logits(found)[head], logits, atol=1e-6, rtol=1e-5)
    for name, head in network.heads.items():
        again = found.heads[name]
        assert (again.labels, again.problem_type) == (head.labels, head.problem_type)
    assert found.fusion.options == network.fusion.options
    # What is kept of the rows is found again under the same name.
    depth = network.encoder.depth
    assert found.encoder.fingerprint(depth) == network.encoder.fingerprint(depth)
    assert found.encoder.preprocessing == network.encoder.preprocessing
    assert not list((tmp_path / "model").rglob("*.bin"))


def test_its_encoders_open_in_plain_transformers(tmp_path: Path, tiny: Tiny) -> None:
    network = _network(tiny)
    save_network(network, tmp_path)
    parts = dict(network.encoder.encoders())  # type: ignore[operator]
    for name in ("text", "image"):
        model = AutoModel.from_pretrained(tmp_path / name)
        ours = parts[name].backbone.state_dict()
        theirs = model.state_dict()
        assert set(ours) <= set(theirs)
        assert all(torch.equal(theirs[key], ours[key]) for key in ours)
    assert AutoTokenizer.from_pretrained(tmp_path / "text")("good film").input_ids


def test_fields_alone_are_a_folder_too(tmp_path: Path, tiny: Tiny) -> None:
    network = _network(tiny, "concat", "fields")
    save_network(network, tmp_path)
    found = load_network(tmp_path)
    torch.testing.assert_close(_logits(found)["target"], _logits(network)["target"])
    told = json.loads((tmp_path / "fields" / "fields.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in told["numbers"]] == ["price", "weight"]
    assert told["categories"] == [{"name": "colour", "values": ["blue", "red"]}]


def test_a_damaged_folder_is_refused_in_words(tmp_path: Path, tiny: Tiny) -> None:
    save_network(_network(tiny), tmp_path)
    weights = tmp_path / "columns.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        load_network(tmp_path)
    weights.write_bytes(whole)
    told = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    told["fusion"] = {"concat": {"width": 8}}
    (tmp_path / "config.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        load_network(tmp_path)
    told["fusion"] = {"gated": {"width": 8}}
    (tmp_path / "config.json").write_text(json.dumps(told), encoding="utf-8")
    (tmp_path / "fields" / "fields.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"fields\.json"):
        load_network(tmp_path)


def test_other_networks_are_refused_in_words(tmp_path: Path, tiny: Tiny) -> None:
    network = _network(tiny, "add", "text", "fields")
    network.encoder.adaptable()[0].backbone.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ModelError, match="not those of the plain architecture"):
        save_network(network, tmp_path)
