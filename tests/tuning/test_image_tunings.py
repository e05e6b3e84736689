"""Every tuning on image encoders; adapters on linear layers and on convolutions."""

import warnings
from typing import Any

import pytest
import torch

from tiny_pictures import photos, tiny_encoder
from transfuse.errors import ModelError
from transfuse.models import LinearHead, Network
from transfuse.models.encoder import close
from transfuse.models.images.batch_norm import normalisers
from transfuse.tuning import TUNINGS, Frozen, Lora, Scratch, frozen_layers
from transfuse.tuning.base import layer_names

KINDS = ("vit", "resnet", "lite", "swin", "mobilenet-v2")
ADAPTERS = {
    "lora": {"rank": 2},
    "dora": {"rank": 2},
    "peft": {"method": "loha", "config": {"r": 2}},
}


def network_of(kind: str, **options: Any) -> Network:
    encoder = tiny_encoder(kind, **options)
    return Network({"image": encoder}, {"label": LinearHead(encoder.dim, 3)}).eval()


def batch_of(network: Network) -> dict[str, torch.Tensor]:
    return network.encoder.collate(network.encoder.preprocess(photos(4)))


def step(network: Network, names: frozenset[str]) -> None:
    """One step of plain gradient descent on the named parameters."""
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in names)
    network.train()
    logits = network(batch_of(network)).logits["label"]
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight -= 0.1 * weight.grad
    network.eval()


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize(
    "name", [name for name in TUNINGS if name not in (*ADAPTERS, "ia3", "vera")]
)
def test_every_tuning_moves_what_it_names_and_nothing_else(kind, name):
    network = network_of(kind)
    tuning = TUNINGS[name]()
    tuning.prepare(network, 0)
    before = {key: value.clone() for key, value in network.named_parameters()}
    for stage in tuning.stages(network):
        step(network, stage.names)
        moved = {
            key for key, value in network.named_parameters() if not torch.equal(value, before[key])
        }
        assert moved <= stage.names
        assert any(key.startswith("heads") for key in moved)
        before = {key: value.clone() for key, value in network.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_moves_merges_and_leaves_the_architecture(kind, name, tmp_path):
    network = network_of(kind)
    batch, names = batch_of(network), set(network.state_dict())
    with torch.no_grad():
        plain = network(batch).logits["label"]
    tuning = TUNINGS[name](**ADAPTERS[name])
    tuning.prepare(network, 0)
    with torch.no_grad():
        assert close(plain, network(batch).logits["label"])
    (stage,) = tuning.stages(network)
    assert all("heads" in each or "lora" in each or "hada" in each for each in stage.names)
    for _ in range(2):  # the first moves one factor only
        step(network, stage.names)
    with torch.no_grad():
        tuned = network(batch).logits["label"]
        assert not close(plain, tuned)
        assert close(tuned, network.copied_as(torch.float32)(batch).logits["label"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuning.export(network, tmp_path)
    assert (tmp_path / "adapter").is_dir()
    tuning.finish(network)
    assert set(network.state_dict()) == names
    with torch.no_grad():
        merged = network(batch).logits["label"]
    assert torch.allclose(tuned, merged, atol=1e-3)


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_a_model_that_does_not_run_with_deltas_is_named_before_training(name):
    class Asking(torch.nn.Conv2d):
        note = 1

    network = network_of("resnet")
    stem = network.encoder.backbone.embedder.embedder
    stem.convolution.__class__ = Asking
    stem.register_forward_pre_hook(lambda module, _given: module.convolution.note and None)
    with pytest.raises(ModelError, match="does not run with deltas") as caught:
        TUNINGS[name](rank=2).prepare(network, 0)
    assert "targets" in caught.value.problems[0].fix


def test_a_resumed_prefix_works_under_an_adapter():
    network = network_of("vit")
    Lora(rank=2).prepare(network, 0)
    batch = batch_of(network)
    with torch.no_grad():
        hidden = network.encoder.prefix(batch, 2)
        again = network.encoder({"hidden": hidden}, from_layer=2)
        assert close(network.encoder(batch).pooled, again.pooled)


def test_the_probe_freezes_all_layers():
    network = network_of("resnet")
    (stage,) = Frozen().stages(network)
    moving = [weight for name, weight in network.named_parameters() if name in stage.names]
    assert frozen_layers(network.encoder, moving) == network.encoder.depth
    assert network.can_resume(network.encoder.depth)


def test_layers_are_known_by_name():
    network = network_of("mobilenet-v2")
    names = layer_names(network)
    assert len(names) == network.encoder.depth
    assert sum(map(len, names)) == len(list(network.encoder.parameters()))


def test_from_scratch_statistics_are_learnt():
    network = network_of("resnet")
    Scratch().prepare(network, 1)
    before = [layer.running_mean.clone() for layer in normalisers(network)]
    network.train()
    network(batch_of(network))
    after = [layer.running_mean for layer in normalisers(network)]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
