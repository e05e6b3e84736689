"""Students of every architecture: what taking layers and narrowing promise."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import CONFIGS, NATIVE
from transfuse.errors import ModelError
from transfuse.models import (
    LinearHead,
    NativeHead,
    Shape,
    keep_layers,
    load_classifier,
    load_narrow,
    load_network,
    save_network,
)
from transfuse.models.anatomy import run_backbone
from transfuse.models.students import chosen_layers

TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor"]
LABELS = ("negative", "neutral", "positive")
LAYERED = sorted(set(CONFIGS) - {"albert"})
SHAPE = Shape(hidden=16, layers=2, heads=2, feed_forward=24)


def batch_of(network):
    return network.encoder.collate(network.encoder.preprocess(TEXTS))


def logits_of(network):
    with torch.no_grad():
        (logits,) = network(batch_of(network)).logits.values()
    return logits


def plain_logits(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")).logits


def teacher(tiny, kind, pooling="auto"):
    return load_classifier(tiny(kind), LABELS, pooling=pooling, max_length=16)


def test_spread_layers_are_the_first_the_last_and_even_ones_between():
    # The six of twelve that DistilBERT took.
    assert chosen_layers(12, 6, "spread") == (0, 2, 4, 7, 9, 11)
    assert chosen_layers(6, 1, "spread") == (0,)
    assert chosen_layers(6, 2, "first") == (0, 1)
    assert chosen_layers(6, 2, "last") == (4, 5)
    for total in range(1, 33):
        for count in range(1, total + 1):
            for take in ("spread", "first", "last"):
                chosen = chosen_layers(total, count, take)
                assert len(set(chosen)) == count
                assert list(chosen) == sorted(chosen)
                assert chosen[0] >= 0
                assert chosen[-1] < total


@pytest.mark.parametrize("count", [0, 4])
def test_more_layers_than_there_are_is_an_error(count, tiny):
    with pytest.raises(ModelError, match="with 3 layers; expected 1 to 3"):
        keep_layers(teacher(tiny, "bert"), count)


def test_a_model_without_a_list_of_layers_is_refused(tiny):
    with pytest.raises(ModelError, match="AlbertModel has no list of layers"):
        keep_layers(teacher(tiny, "albert"), 1)


@pytest.mark.parametrize("kind", LAYERED)
def test_all_layers_give_the_same_answers(kind, tiny):
    network = teacher(tiny, kind)
    expected, print_ = logits_of(network), network.encoder.fingerprint(4)
    student = keep_layers(network, 3)
    torch.testing.assert_close(logits_of(student), expected, atol=0, rtol=0)
    assert student.encoder.fingerprint(4) == print_


@pytest.mark.parametrize("take", ["spread", "first"])
@pytest.mark.parametrize("kind", LAYERED)
def test_a_student_runs_the_chosen_layers_and_no_others(kind, take, tiny):
    network = teacher(tiny, kind, pooling="mean")
    student = keep_layers(copy.deepcopy(network), 2, take)
    assert student.encoder.depth == 3
    assert len(student.encoder.layers()) == 3
    # In the teacher, the block that was left out hands on what it gets.
    (dropped,) = set(range(3)) - set(chosen_layers(3, 2, take))
    encoder = network.encoder
    block, returned = encoder.anatomy.blocks[dropped], encoder.anatomy.returns[dropped]

    def hand_on(*args, **kwargs):
        hidden, *others = args if args else [kwargs["hidden_states"]]
        if kind == "t5":
            # The positions of all blocks travel from one to the next beside the hidden states.
            return hidden, others[1], None
        return (hidden, *[None] * (returned - 1)) if returned else hidden

    block.forward = hand_on
    batch = batch_of(network)
    with torch.no_grad():
        expected = run_backbone(
            encoder.backbone, batch["input_ids"], batch["attention_mask"], encoder.anatomy.options
        ).last_hidden_state
        found = student.encoder(batch).tokens
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in NATIVE if kind != "albert"])
def test_plain_transformers_opens_a_student_with_its_native_head(kind, tiny, tmp_path):
    student = keep_layers(teacher(tiny, kind), 2)
    assert isinstance(student.heads["label"], NativeHead)
    assert student.can_resume(2)
    expected = logits_of(student)
    save_network(student, tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.num_hidden_layers == 2
    assert tuple(config.id2label.values()) == LABELS
    torch.testing.assert_close(plain_logits(tmp_path), expected, atol=1e-5, rtol=1e-4)
    again = load_network(tmp_path)
    assert again.encoder.fingerprint(3) == student.encoder.fingerprint(3)
    assert again.encoder.fingerprint(3) != teacher(tiny, kind).encoder.fingerprint(3)


@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen3", "t5"])
def test_a_student_with_a_linear_head_comes_back(kind, tiny, tmp_path):
    student = keep_layers(teacher(tiny, kind, pooling="mean"), 2)
    save_network(student, tmp_path)
    torch.testing.assert_close(plain_logits(tmp_path), logits_of(student), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        logits_of(load_network(tmp_path)), logits_of(student), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_a_trained_head_stays_where_the_labels_are_the_same(kind, tiny, tmp_path):
    network = teacher(tiny, kind)
    save_network(network, tmp_path)
    student = keep_layers(load_classifier(tmp_path, LABELS, max_length=16), 2)
    for ours, theirs in zip(
        student.heads["label"].parameters(), network.heads["label"].parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_where_a_first_layer_is_special_others_cannot_take_its_place(tiny):
    # ModernBERT's first layer has no norm of its own, T5's makes the positions of all.
    for kind in ("modernbert", "t5"):
        with pytest.raises(ModelError, match="keep the first layer"):
            keep_layers(teacher(tiny, kind), 2, "last")
    assert keep_layers(teacher(tiny, "bert"), 2, "last").encoder.depth == 3


def test_each_layer_keeps_its_kind_of_attention(tiny):
    student = keep_layers(teacher(tiny, "modernbert"), 2)
    whole = teacher(tiny, "modernbert").encoder.config.layer_types
    assert student.encoder.config.layer_types == [whole[0], whole[2]]


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_narrower_network_has_its_size_and_learns_and_comes_back(kind, tiny, tmp_path):
    network = load_narrow(tiny(kind), LABELS, SHAPE, max_length=16, seed=1)
    encoder = network.encoder
    assert encoder.dim == 16
    assert encoder.depth == (1 if kind == "albert" else 3)
    assert (encoder.config.num_hidden_layers, encoder.config.num_attention_heads) == (2, 2)
    assert encoder.preprocessing == teacher(tiny, kind).encoder.preprocessing
    (logits,) = network.train()(batch_of(network)).logits.values()
    logits.square().sum().backward()
    assert encoder.backbone.get_input_embeddings().weight.grad.abs().sum() > 0
    save_network(network.eval(), tmp_path)
    torch.testing.assert_close(plain_logits(tmp_path), logits_of(network), atol=1e-5, rtol=1e-4)


def test_narrower_embeddings_keep_the_teachers_geometry(tiny):
    def gram(rows):
        rows = rows - rows.mean(dim=0)
        return rows @ rows.T

    theirs = teacher(tiny, "bert").encoder.backbone.get_input_embeddings().weight.detach()
    likeness = {}
    for way in ("pca", "random"):
        network = load_narrow(tiny("bert"), LABELS, SHAPE, embeddings=way)
        ours = network.encoder.backbone.get_input_embeddings().weight.detach()
        pair = torch.stack([gram(ours)[1:, 1:].flatten(), gram(theirs)[1:, 1:].flatten()])
        likeness[way] = torch.corrcoef(pair)[0, 1].item()
        assert not ours[0].any()  # padding
        assert ours.std().item() == pytest.approx(0.02, rel=0.1)
    assert likeness["pca"] > 0.8
    assert abs(likeness["random"]) < 0.1


def test_a_narrower_network_is_drawn_from_its_seed(tiny):
    def weights(seed):
        return load_narrow(tiny("bert"), LABELS, SHAPE, seed=seed).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if name.endswith("query.weight")]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_a_narrower_network_starts_anew_like_any_other(tiny):
    network = load_narrow(tiny("bert"), LABELS, SHAPE, pooling="mean")
    assert isinstance(network.heads["label"], LinearHead)
    before = logits_of(network)
    network.encoder.reset(3)
    assert not torch.equal(logits_of(network), before)


def test_embeddings_wider_than_the_teachers_must_be_random(tiny):
    wide = Shape(hidden=64, layers=1, heads=2, feed_forward=24)
    with pytest.raises(ModelError, match=r"64, and the embeddings .* have 32"):
        load_narrow(tiny("bert"), LABELS, wide)
    assert load_narrow(tiny("bert"), LABELS, wide, embeddings="random").encoder.dim == 64


def test_a_size_that_an_architecture_does_not_have_is_told(tiny):
    with pytest.raises(ModelError, match="no such size"):
        load_narrow(tiny("bert"), LABELS, Shape(hidden=16, layers=1, heads=3, feed_forward=24))
