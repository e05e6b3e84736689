"""Every property is tried on every architecture; none has code of its own."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel

from tiny_models import CONFIGS, DECODERS, save_tiny, tiny_tokenizer
from transfuse.errors import ModelError
from transfuse.models.load import load_encoder
from transfuse.models.text import TextEncoder

TEXTS = ["the film was good", "bad", "this book is not very fine and the film was poor", ""]
ALL = pytest.mark.parametrize("kind", CONFIGS)
RESUMES = {"albert": {0}, "t5": {0, 1, 4}}
"""Where later blocks share more with earlier ones than hidden states, few prefixes can be used."""


@pytest.fixture(scope="module")
def encoders(tiny):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = load_encoder(tiny(kind))
        return copy.deepcopy(made[kind])

    return get


def batch_of(encoder, texts=TEXTS):
    return encoder.collate(encoder.preprocess(texts))


@ALL
def test_layers_hold_every_parameter_once_from_input_to_output(kind, encoders):
    encoder = encoders(kind)
    layers = encoder.layers()
    found = [id(p) for layer in layers for module in layer for p in module.parameters()]
    assert sorted(found) == sorted(id(p) for p in encoder.parameters())
    assert encoder.depth == len(layers) == (1 if kind == "albert" else 4)
    embedding = encoder.backbone.get_input_embeddings().weight
    assert any(p is embedding for module in layers[0] for p in module.parameters())


@ALL
def test_going_on_from_a_prefix_gives_the_plain_result_wherever_it_says_so(kind, encoders):
    encoder = encoders(kind).eval()
    batch = batch_of(encoder)
    plain = encoder(batch)
    real = batch["attention_mask"].bool()
    possible = {k for k in range(encoder.depth + 1) if encoder.can_resume(k)}
    assert possible == RESUMES.get(kind, set(range(5)))
    for layers in possible - {0}:
        hidden = encoder.prefix(batch, layers)
        assert not hidden.requires_grad
        cached = {"hidden": hidden, "attention_mask": batch["attention_mask"]}
        resumed = encoder(cached, from_layer=layers)
        torch.testing.assert_close(resumed.pooled, plain.pooled, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(resumed.tokens[real], plain.tokens[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", sorted(set(CONFIGS) - {"albert"}))
def test_gradients_after_a_prefix_are_those_of_the_plain_way(kind, encoders):
    encoder = encoders(kind).eval()
    batch = batch_of(encoder)
    layers = 1 if kind == "t5" else 2

    def gradients(run):
        encoder.zero_grad(set_to_none=True)
        run().pooled.square().sum().backward()
        return {
            name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None
        }

    hidden = encoder.prefix(batch, layers)
    plain = gradients(lambda: encoder(batch))
    cached = {"hidden": hidden, "attention_mask": batch["attention_mask"]}
    resumed = gradients(lambda: encoder(cached, from_layer=layers))
    names = {id(p): name for name, p in encoder.named_parameters()}
    after = {
        names[id(p)]
        for layer in encoder.layers()[layers:]
        for module in layer
        for p in module.parameters()
    }
    assert after & plain.keys() <= resumed.keys()
    for name in after & plain.keys():
        torch.testing.assert_close(resumed[name], plain[name], atol=1e-4, rtol=1e-4)
    before = plain.keys() - after
    # Shared relative positions (T5, DeBERTa, MPNet) count to the first layer but are read later.
    shared = {name for name in before if "rel" in name}
    assert not {name for name in before - shared if name in resumed}


def test_resuming_leaves_no_trace_even_after_an_error(encoders):
    encoder = encoders("bert")
    names = list(encoder.state_dict())
    batch = batch_of(encoder)
    plain = encoder(batch).pooled
    hidden = encoder.prefix(batch, 3)
    wrong = {"hidden": hidden[:, :, :5], "attention_mask": batch["attention_mask"]}
    with pytest.raises(RuntimeError):
        encoder(wrong, from_layer=3)
    assert list(encoder.state_dict()) == names
    assert not any("forward" in vars(module) for module in encoder.modules())
    assert not any(module._forward_pre_hooks for module in encoder.modules())
    torch.testing.assert_close(encoder(batch).pooled, plain)


def test_a_prefix_runs_without_dropout_and_leaves_the_modes_alone(encoders):
    encoder = encoders("bert").train()
    encoder.layers()[0][0].eval()
    modes = [module.training for module in encoder.modules()]
    batch = batch_of(encoder)
    assert torch.equal(encoder.prefix(batch, 2), encoder.prefix(batch, 2))
    assert [module.training for module in encoder.modules()] == modes
    assert not torch.equal(encoder(batch).pooled, encoder(batch).pooled)


def test_a_batch_without_what_is_needed_is_refused(encoders):
    encoder = encoders("bert")
    with pytest.raises(ValueError, match="hidden"):
        encoder(batch_of(encoder), from_layer=2)
    with pytest.raises(ValueError, match="from 1 to 4"):
        encoder.prefix(batch_of(encoder), 5)


@ALL
@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "native"])
def test_a_row_alone_and_among_longer_ones_gets_one_vector(kind, pooling, tiny):
    encoder = load_encoder(tiny(kind), pooling=pooling)
    together = encoder(batch_of(encoder)).pooled
    assert together.shape == (len(TEXTS), encoder.dim)
    assert together.isfinite().all()
    for row, text in enumerate(TEXTS):
        alone = encoder(batch_of(encoder, [text])).pooled[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


@ALL
def test_auto_pooling_is_the_architectures_own(kind, encoders):
    used = encoders(kind).pooling_used
    if kind in DECODERS:
        assert used == "last"
    elif kind == "t5":
        assert used == "mean"
    else:
        assert used in {"pooler", "cls"}


def test_a_pooler_that_is_not_read_is_not_there(tiny):
    without = load_encoder(tiny("bert"), pooling="mean")
    assert not any("pooler" in name for name in without.state_dict())
    assert any("pooler" in name for name in load_encoder(tiny("bert")).state_dict())


def test_a_folder_without_a_pooler_gets_none_with_random_weights(tmp_path):
    save_tiny("roberta", tmp_path)
    AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    assert encoder.pooling_used == "cls"
    assert not any("pooler" in name for name in encoder.state_dict())


def test_collate_pads_on_the_right_whatever_the_tokenizer_prefers(tiny):
    tokenizer = tiny_tokenizer("bert")
    tokenizer.padding_side = "left"
    backbone = AutoModel.from_pretrained(tiny("bert"))
    encoder = TextEncoder(backbone, tokenizer, backbone.config)
    batch = encoder.collate([[5, 6, 7], [8]])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_decoder_pads_with_its_end_token_and_counts_it_where_it_is_real(encoders):
    encoder = encoders("gpt2")
    end = encoder.tokenizer.eos_token_id
    assert encoder.tokenizer.pad_token_id == end
    one, two = [[70, 71, end]], [[70, 71, end], [70, 71, 72, 73, 74]]
    alone = encoder(encoder.collate(one)).pooled[0]
    torch.testing.assert_close(encoder(encoder.collate(two)).pooled[0], alone)


def test_preprocess_is_the_tokenizer_cut_at_the_length(tiny):
    encoder = load_encoder(tiny("bert"), max_length=6)
    rows = encoder.preprocess([*TEXTS, "good " * 50] * 300)
    plain = encoder.tokenizer(
        [*TEXTS, "good " * 50] * 300, truncation=True, max_length=6, verbose=False
    )["input_ids"]
    assert [row.tolist() for row in rows] == plain
    assert rows.lengths.max() == 6


def test_an_empty_text_of_a_decoder_becomes_one_token(encoders):
    encoder = encoders("gpt2")
    assert encoder.preprocess([""])[0].tolist() == [encoder.tokenizer.eos_token_id]


@pytest.mark.parametrize(
    "text", ["good " * 30_000, " " * 150_000 + "good", "x" * 150_000, "好" * 50_000]
)
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_huge_cell_gives_the_tokens_of_the_whole_text(kind, text, encoders):
    encoder = encoders(kind)
    whole = encoder.tokenizer([text], truncation=True, max_length=encoder.max_length)
    assert encoder.preprocess([text])[0].tolist() == whole["input_ids"][0]


def test_the_length_is_lowered_to_what_the_model_has_positions_for(encoders):
    assert encoders("bert").max_length == 40
    assert encoders("roberta").max_length == 39  # its positions start after the padding id
    encoder = encoders("roberta")
    encoder(batch_of(encoder, ["good " * 100]))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tiny):
    backbone = AutoModel.from_pretrained(tiny("bert"))
    tokenizer = tiny_tokenizer("bert")
    tokenizer.add_tokens([f"new{number}" for number in range(400)])
    with pytest.raises(ModelError, match="belong together"):
        TextEncoder(backbone, tokenizer, backbone.config)


def test_the_fingerprint_changes_with_what_the_prefix_computes_and_with_nothing_else(encoders):
    encoder = encoders("bert")
    before = [encoder.fingerprint(k) for k in range(1, 5)]
    assert before == [copy.deepcopy(encoder).fingerprint(k) for k in range(1, 5)]
    assert len(set(before)) == 4
    with torch.no_grad():
        next(encoder.layers()[2][0].parameters())[0, 0] += 1e-3
    after = [encoder.fingerprint(k) for k in range(1, 5)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_fingerprint_tells_lengths_poolings_and_tokenizers_apart(tiny):
    folder = tiny("bert")

    def prints(**options):
        encoder = load_encoder(folder, **options)
        encoder.preprocess(["good " * 100])  # leaves its truncation behind in the tokenizer
        return [encoder.fingerprint(k) for k in range(1, 5)]

    mean = prints(pooling="mean")
    assert mean == prints(pooling="mean")
    cls = prints(pooling="cls")
    assert mean[:3] == cls[:3]
    assert mean[3] != cls[3]
    assert not set(mean) & set(prints(pooling="mean", max_length=20))
    other = load_encoder(folder, pooling="mean")
    backbone = other.backbone
    tokenizer = tiny_tokenizer("bert")
    tokenizer.add_tokens(["new"])
    changed = TextEncoder(backbone, tokenizer, other.config, pooling="mean")
    assert changed.fingerprint(1) != other.fingerprint(1)
    assert changed.preprocessing != other.preprocessing


@ALL
def test_reset_is_the_same_network_with_seeded_fresh_weights(kind, encoders):
    state = torch.get_rng_state()
    made = {name: encoders(kind) for name in ("first", "again", "other", "source")}
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        made[name].reset(seed)
    first, again, other, source = (each.state_dict() for each in made.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert first.keys() == source.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    for stranger in (other, source):
        assert any(not torch.equal(first[name], stranger[name]) for name in first)


@ALL
def test_a_16_bit_copy_is_close_and_leaves_the_original_alone(kind, encoders):
    encoder = encoders(kind).eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    batch = batch_of(encoder)
    with torch.inference_mode():
        plain = encoder(batch).pooled
        copied = encoder.copied_as(torch.bfloat16)
        short = copied(batch).pooled.float()
    assert all(p.dtype == torch.bfloat16 for p in copied.parameters())
    assert copied.tokenizer is encoder.tokenizer
    assert torch.nn.functional.cosine_similarity(plain, short).min() > 0.99
    after = encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.requires_grad for p in encoder.parameters())


def test_a_copy_in_the_same_type_shares_its_memory(encoders):
    encoder = encoders("bert")
    copied = encoder.copied_as(torch.float32)
    pairs = zip(encoder.parameters(), copied.parameters(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in pairs)


@pytest.mark.parametrize("kind", ["bert", "llama", "mpnet", "t5"])
def test_attention_can_be_switched_without_changing_the_answer(kind, encoders):
    encoder = encoders(kind).eval()
    batch = batch_of(encoder)
    plain = encoder(batch).pooled
    name_before = encoder.fingerprint(encoder.depth)
    for name in ("eager", "sdpa"):
        took = encoder.set_attention(name)
        assert took == (encoder.attention == name)
        assert took or kind == "mpnet"
        torch.testing.assert_close(encoder(batch).pooled, plain, atol=1e-5, rtol=1e-4)
        assert encoder.fingerprint(encoder.depth) == name_before


# peft reads a name that transformers has deprecated.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_around_the_backbone_changes_nothing_at_its_start(encoders):
    from peft import LoraConfig, get_peft_model

    encoder = encoders("gpt2").eval()
    batch = batch_of(encoder)
    plain, prefix = encoder(batch).pooled, encoder.prefix(batch, 2)
    config = LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True)
    encoder.backbone = get_peft_model(encoder.backbone, config).eval()
    torch.testing.assert_close(encoder(batch).pooled, plain)
    torch.testing.assert_close(encoder.prefix(batch, 2), prefix)
    assert encoder.can_resume(2)
    assert "past_key_values" not in encoder.backbone(**batch, use_cache=False)
    np.testing.assert_array_equal(encoder.preprocess(["good"])[0].shape, (2,))
