import copy
import json

import pytest
import torch

from tiny_models import NATIVE, save_tiny
from transfuse.models import Encoded, LinearHead, NativeHead, Network, load_classifier, load_encoder
from transfuse.models.heads import Head

TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor"]
LABELS = ("negative", "neutral", "positive")


def batch_of(network, texts=TEXTS):
    return network.encoder.collate(network.encoder.preprocess(texts))


def test_a_linear_head_is_seeded_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, same, other = LinearHead(8, 2, seed=1), LinearHead(8, 2, seed=1), LinearHead(8, 2, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    wide = LinearHead(500, 200).classifier
    assert wide.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert wide.bias.count_nonzero() == 0


def test_a_linear_head_drops_out_in_training_alone():
    head = LinearHead(64, 2, dropout=0.5).train()
    encoded = Encoded(torch.ones(1, 64))
    assert not torch.equal(head(encoded, {}), head(encoded, {}))
    head.eval()
    assert torch.equal(head(encoded, {}), head(encoded, {}))
    assert head.linear is head.classifier


def test_labels_and_outputs_must_be_as_many():
    with pytest.raises(ValueError, match="expected 2 labels"):
        LinearHead(4, 2, labels=["one"])


def test_a_forward_pass_runs_the_tasks_that_were_asked_for(tiny):
    encoder = load_encoder(tiny("bert"), pooling="mean")
    heads = {"a": LinearHead(encoder.dim, 2), "b": LinearHead(encoder.dim, 5)}
    network = Network.for_text(encoder, heads).eval()
    outputs = network(batch_of(network))
    assert {name: value.shape for name, value in outputs.logits.items()} == {
        "a": (3, 2),
        "b": (3, 5),
    }
    assert outputs.features.shape == (3, encoder.dim)
    assert list(network(batch_of(network), tasks=["b"]).logits) == ["b"]


def test_several_columns_need_a_fusion(tiny):
    encoder = load_encoder(tiny("bert"))
    with pytest.raises(ValueError, match="fusion"):
        Network({"left": encoder, "right": encoder}, {})
    with pytest.raises(ValueError, match="fusion"):
        Network({}, {})


@pytest.mark.parametrize("kind", [*NATIVE, "t5"])
def test_every_way_into_a_network_gives_the_same_logits(kind, tiny):
    network = load_classifier(tiny(kind), LABELS)
    batch = batch_of(network)
    plain = network(batch)
    tried = 0
    for layers in range(network.encoder.depth + 1):
        if not network.can_resume(layers) or layers == 0:
            continue
        if layers == network.encoder.depth:
            cached = {"pooled": plain.features}
        else:
            hidden = network.encoder.prefix(batch, layers)
            cached = {"hidden": hidden, "attention_mask": batch["attention_mask"]}
        logits = network(cached, layers).logits["label"]
        torch.testing.assert_close(logits, plain.logits["label"], atol=1e-5, rtol=1e-4)
        tried += 1
    assert tried >= (1 if kind == "albert" else 2)
    assert network.can_resume(network.encoder.depth)  # the frozen probe is instant everywhere


@pytest.mark.parametrize("kind", NATIVE)
def test_a_native_head_holds_no_second_backbone(kind, tiny):
    network = load_classifier(tiny(kind), LABELS)
    head = network.heads["label"]
    assert isinstance(head, NativeHead)
    assert head.outputs == 3
    inside = {id(p) for p in network.encoder.parameters()}
    assert head.parameters()
    assert not inside & {id(p) for p in head.parameters()}
    pointers = [value.data_ptr() for value in network.state_dict().values() if value.numel()]
    assert len(set(pointers)) == len(pointers)
    with head.whole(network.encoder.backbone) as model:
        assert {id(p) for p in model.parameters()} == {id(p) for p in network.parameters()}
    assert not inside & {id(p) for p in head.parameters()}


@pytest.mark.parametrize("kind", ["bert", "albert", "gpt2", "llama"])
def test_a_head_that_is_one_linear_layer_says_which(kind, tiny):
    network = load_classifier(tiny(kind), LABELS)
    layer = network.heads["label"].linear
    features = network(batch_of(network))
    expected = torch.nn.functional.linear(features.features, layer.weight, layer.bias)
    torch.testing.assert_close(features.logits["label"], expected)


@pytest.mark.parametrize("kind", ["roberta", "electra", "modernbert"])
def test_a_head_with_layers_of_its_own_is_no_linear_layer(kind, tiny):
    assert load_classifier(tiny(kind), LABELS).heads["label"].linear is None


def test_a_copy_of_a_network_is_independent_but_for_the_tokenizer(tiny):
    network = load_classifier(tiny("bert"), LABELS)
    twin = copy.deepcopy(network)
    before = network(batch_of(network)).logits["label"]
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.1)
    assert twin.encoder.tokenizer is network.encoder.tokenizer
    torch.testing.assert_close(network(batch_of(network)).logits["label"], before)
    assert not torch.allclose(twin(batch_of(network)).logits["label"], before)
    assert twin.can_resume(2)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_what_a_native_head_reads_is_found_by_trying_it(pooling, tmp_path):
    save_tiny("modernbert", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"classifier_pooling": pooling}))
    network = load_classifier(tmp_path, LABELS)
    assert network.encoder.pooling_used == pooling
    assert network.can_resume(4)


class PicksByToken(Head):
    """A head that reads more than one vector of a row."""

    outputs = 1

    def forward(self, encoded, batch):
        return encoded.pooled[:, :1] if encoded.tokens is None else encoded.tokens[:, 1, :1]

    def reset(self, seed):
        pass

    @property
    def linear(self):
        return None


class ReadsIds(PicksByToken):
    """A head that looks at the token ids."""

    def forward(self, encoded, batch):
        return batch["input_ids"][:, :1].float() if "input_ids" in batch else encoded.pooled[:, :1]


@pytest.mark.parametrize(
    ("head", "possible"),
    [(PicksByToken(), [0, 1, 2, 3]), (ReadsIds(), [0]), (LinearHead(32, 2), [0, 1, 2, 3, 4])],
)
def test_what_a_head_needs_is_found_by_trying_it(head, possible, tiny):
    network = Network.for_text(load_encoder(tiny("bert"), pooling="cls"), {"task": head})
    assert [k for k in range(5) if network.can_resume(k)] == possible


def test_16_bit_copies_answer_nearly_the_same(tiny):
    network = load_classifier(tiny("gpt2"), LABELS)
    plain = network(batch_of(network)).logits["label"]
    short = network.copied_as(torch.bfloat16)(batch_of(network)).logits["label"].float()
    assert (plain - short).abs().max() < 0.05 * plain.abs().max()
