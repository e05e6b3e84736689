"""Merging LoRA adapters, beside what peft does with the result."""

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file
from torch import nn

from merging.merging_models import write_file
from transfuse.errors import ModelError
from transfuse.merging.adapters import merge_adapters


class Tiny(nn.Module):
    """Two layers and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 6)
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(self.words(ids))))


def adapter(folder, seed, **options):
    """Saves a random adapter and returns what it changes, by the names of the model."""
    torch.manual_seed(0)
    model = get_peft_model(Tiny(), LoraConfig(**{"target_modules": ["first", "second"], **options}))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            nn.init.normal_(parameter)
    model.save_pretrained(folder)
    return changed(model)


def changed(model):
    torch.manual_seed(0)
    before = Tiny().state_dict()
    after = model.merge_and_unload().state_dict()
    return {name: (after[name] - before[name]).numpy() for name in before}


def loaded(folder):
    torch.manual_seed(0)
    return changed(PeftModel.from_pretrained(Tiny(), folder))


ADAPTERS = [
    {"r": 2, "lora_alpha": 4},
    {"r": 3, "lora_alpha": 3, "use_rslora": True, "rank_pattern": {"second": 1}},
]


@pytest.mark.parametrize("weights", [None, (1.0, -0.5)])
def test_concatenation_is_exact(weights, tmp_path) -> None:
    changes = [
        adapter(tmp_path / str(place), place, **options) for place, options in enumerate(ADAPTERS)
    ]
    homes = [tmp_path / "0", tmp_path / "1"]
    report = merge_adapters(homes, tmp_path / "out", weights=weights)
    assert report.ranks == {"first": 5, "second": 3}
    found = loaded(tmp_path / "out")
    shares = weights or (0.5, 0.5)
    for name in found:
        wanted = sum(share * change[name] for share, change in zip(shares, changes, strict=True))
        np.testing.assert_allclose(found[name], wanted, atol=1e-5)


def test_svd_is_exact_at_sufficient_rank_and_nearest_below(tmp_path) -> None:
    changes = [adapter(tmp_path / str(place), place, r=2) for place in range(2)]
    homes = [tmp_path / "0", tmp_path / "1"]
    full = merge_adapters(homes, tmp_path / "full", how="svd", rank=4)
    assert full.error == 0
    short = merge_adapters(homes, tmp_path / "short", how="svd", rank=3)
    assert set(short.ranks.values()) == {3}
    exact, near = loaded(tmp_path / "full"), loaded(tmp_path / "short")
    shares = []
    for name in ("first.weight", "second.weight"):
        wanted = (changes[0][name] + changes[1][name]) / 2
        np.testing.assert_allclose(exact[name], wanted, atol=1e-5)
        sizes = np.linalg.svd(wanted, compute_uv=False)
        left = np.linalg.norm(near[name] - wanted)
        assert left == pytest.approx(np.linalg.norm(sizes[3:]), rel=1e-3)
        shares.append(left / np.linalg.norm(sizes))
    assert short.error == pytest.approx(max(shares), rel=1e-3)


def test_averaging_a_and_b_would_be_no_merge(tmp_path) -> None:
    changes = [adapter(tmp_path / str(place), place, r=2) for place in range(2)]
    tensors = [load_file(tmp_path / str(place) / "adapter_model.safetensors") for place in range(2)]
    name = "base_model.model.first.lora_{}.weight"
    a, b = (sum(each[name.format(side)] for each in tensors) / 2 for side in "AB")
    wanted = (changes[0]["first.weight"] + changes[1]["first.weight"]) / 2
    scale = 8 / 2
    assert np.linalg.norm(scale * b @ a - wanted) > 0.5 * np.linalg.norm(wanted)


def test_embeddings_heads_and_lone_modules(tmp_path) -> None:
    first = adapter(
        tmp_path / "0", 0, r=2, target_modules=["words", "first"], modules_to_save=["head"]
    )
    second = adapter(tmp_path / "1", 1, r=2, target_modules=["first"], modules_to_save=["head"])
    merge_adapters([tmp_path / "0", tmp_path / "1"], tmp_path / "out", weights=(1.0, 1.0))
    found = loaded(tmp_path / "out")
    np.testing.assert_allclose(found["words.weight"], first["words.weight"], atol=1e-5)
    wanted = first["first.weight"] + second["first.weight"]
    np.testing.assert_allclose(found["first.weight"], wanted, atol=1e-5)
    # A head that is kept whole is averaged, whatever the weights sum to.
    wanted = (first["head.weight"] + second["head.weight"]) / 2
    np.testing.assert_allclose(found["head.weight"], wanted, atol=1e-5)


def test_what_is_no_lora_adapter_is_told(tmp_path) -> None:
    adapter(tmp_path / "0", 0, r=2)
    adapter(tmp_path / "1", 1, r=2, use_dora=True)
    with pytest.raises(ModelError, match="DoRA"):
        merge_adapters([tmp_path / "0", tmp_path / "1"], tmp_path / "out")
    with pytest.raises(ModelError, match="no LoRA adapter"):
        merge_adapters([tmp_path / "0", tmp_path], tmp_path / "out")
    with pytest.raises(ValueError, match="rank"):
        merge_adapters([tmp_path / "0"], tmp_path / "out", rank=0)
    with pytest.raises(ValueError, match="weights"):
        merge_adapters([tmp_path / "0"], tmp_path / "out", weights=(1.0, 2.0))


def test_adapters_of_other_models_are_told(tmp_path) -> None:
    for place in range(2):
        home = tmp_path / str(place)
        home.mkdir()
        config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": place}
        (home / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        name = "base_model.model.x.lora_{}.weight"
        tensors = {
            name.format("A"): ("F32", np.ones((1, 2 + place), np.float32)),
            name.format("B"): ("F32", np.ones((2, 1), np.float32)),
        }
        write_file(home / "adapter_model.safetensors", tensors)
    homes = [tmp_path / "0", tmp_path / "1"]
    with pytest.raises(ModelError, match="base_model_name_or_path is 1"):
        merge_adapters(homes, tmp_path / "out")
    config["base_model_name_or_path"] = 0
    (homes[1] / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="adapters of one model"):
        merge_adapters(homes, tmp_path / "out")
