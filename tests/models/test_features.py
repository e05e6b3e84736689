"""Kept features are what the encoder gives for each row by itself, computed once."""

import zlib

import numpy as np
import pytest
import torch
from torch import nn

from transfuse.data.ragged import Ragged
from transfuse.errors import ModelError
from transfuse.models.copies import copied_as
from transfuse.models.encoder import Encoded
from transfuse.models.engine import Engine
from transfuse.models.features import (
    feature_space,
    pooled_features,
    prefix_features,
    text_keys,
)
from transfuse.models.load import load_encoder
from transfuse.models.store import Store

TEXTS = ["a b c", "d", "a b c", "e f g h i j", "", "k l", *(f"n {n} " * (n % 5) for n in range(40))]
FP32 = Engine(dtype=torch.float32)
BF16 = Engine(dtype=torch.bfloat16)
CAST = Engine(dtype=torch.bfloat16, autocast=True)


class Small(nn.Module):
    """What features need of an encoder, in two layers over words.

    A row's vectors depend on all its words, on padding if that leaks, and on dropout if left on.
    """

    def __init__(self, dim=8, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.dim, self.depth = dim, 2
        self.words, self.block = nn.Embedding(9973, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def preprocess(self, texts):
        self.seen += texts
        return Ragged.from_rows(
            [[1, *(2 + zlib.crc32(w.encode()) % 9971 for w in t.split())] for t in texts]
        )

    def collate(self, token_rows):
        rows = [torch.tensor(np.asarray(row), dtype=torch.int64) for row in token_rows]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    def prefix(self, batch, layers):
        modes = self.training
        self.eval()
        with torch.no_grad():
            mask = batch["attention_mask"].unsqueeze(-1)
            hidden = self.dropout(self.words(batch["input_ids"]))
            hidden = hidden + (hidden * mask).sum(1, keepdim=True) + 9 * (1 - mask)
            hidden = self.block(hidden) if layers == 2 else hidden
        self.train(modes)
        return hidden

    def forward(self, batch, from_layer=0):
        mask = batch["attention_mask"].unsqueeze(-1)
        tokens = self.dropout(self.prefix(batch, 2))
        return Encoded((tokens * mask).sum(1), tokens, batch["attention_mask"])

    def copied_as(self, dtype):
        return copied_as(self, dtype)

    def fingerprint(self, layers):
        parts = [self.words.weight, self.block.weight][:layers]
        return "".join(f"{zlib.crc32(part.detach().numpy()):08x}" for part in parts)


def alone(encoder, text, layers):
    return encoder.prefix(encoder.collate(encoder.preprocess([text])), layers)[0].numpy()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch_tokens", [1, 16, 2048])
def test_prefix_features_are_those_of_each_row_alone(store, layers, batch_tokens):
    encoder = Small().train()
    features = prefix_features(
        encoder,
        TEXTS,
        text_keys(TEXTS),
        layers,
        store=store,
        engine=FP32,
        batch_tokens=batch_tokens,
    )
    assert encoder.training
    assert sorted(encoder.seen) == sorted(set(TEXTS))
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(features[place], alone(encoder, text, layers), atol=1e-5)


def test_pooled_features_are_those_of_each_row_alone(store):
    encoder = Small().train()
    features = pooled_features(encoder, TEXTS, text_keys(TEXTS), store=store, engine=FP32)
    assert encoder.training
    assert features.dtype == np.float32
    encoder.eval()
    for place, text in enumerate(TEXTS):
        expected = encoder(encoder.collate(encoder.preprocess([text]))).pooled[0]
        np.testing.assert_allclose(features[place], expected.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_real_encoder_goes_on_from_kept_features(store, tiny, kind):
    encoder = load_encoder(tiny(kind))
    texts = ["a good film", "so it is", "bad", "this book was not very good and not very bad"]
    keys = text_keys(texts)
    with torch.no_grad():
        plain = [encoder(encoder.collate(encoder.preprocess([text]))).pooled[0] for text in texts]
    expected = torch.stack(plain).numpy()
    pooled = pooled_features(encoder, texts, keys, store=store, engine=FP32)
    np.testing.assert_allclose(pooled, expected, atol=1e-4)
    for layers in range(1, encoder.depth + 1):
        kept = prefix_features(encoder, texts, keys, layers, store=store, engine=FP32)
        hidden, mask = kept.batch([3, 0, 1, 2])
        with torch.no_grad():
            resumed = encoder({"hidden": hidden, "attention_mask": mask}, from_layer=layers)
        np.testing.assert_allclose(resumed.pooled.numpy(), expected[[3, 0, 1, 2]], atol=1e-4)
    assert len(store.spaces()) == 1 + encoder.depth


def test_texts_and_their_tokens_give_the_same(store, tmp_path):
    encoder, keys = Small(), text_keys(TEXTS)
    from_texts = prefix_features(encoder, TEXTS, keys, 1, store=store, engine=FP32)
    tokens, other = encoder.preprocess(TEXTS), Store(tmp_path / "other")
    from_tokens = prefix_features(encoder, tokens, keys, 1, store=other, engine=FP32)
    np.testing.assert_array_equal(from_texts.gather().values, from_tokens.gather().values)
    np.testing.assert_array_equal(from_tokens.lengths, tokens.lengths)


def test_nothing_is_encoded_twice_and_kept_rows_are_not_looked_at(store):
    encoder, keys = Small(), text_keys(TEXTS)
    first = pooled_features(encoder, TEXTS[:20], keys[:20], store=store, engine=FP32)
    encoder.seen.clear()
    again = pooled_features(encoder, TEXTS, keys, store=store, engine=FP32)
    np.testing.assert_array_equal(again[:20], first)
    assert set(encoder.seen) == set(TEXTS[20:]) - set(TEXTS[:20])
    space = feature_space(encoder, 2, FP32, pooled=True)
    assert store.counts(space) == (len(set(TEXTS)), 20 + len(TEXTS))


@pytest.mark.parametrize("engine", [BF16, CAST])
def test_a_16_bit_engine_keeps_16_bits_and_leaves_the_weights_alone(store, engine):
    encoder, keys = Small(), text_keys(TEXTS)
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    features = prefix_features(encoder, TEXTS, keys, 2, store=store, engine=engine)
    assert features.dtype == "bfloat16"
    hidden, mask = features.batch([3, 1])
    assert hidden.dtype == torch.float32
    np.testing.assert_allclose(hidden[0].numpy(), alone(encoder, TEXTS[3], 2), atol=0.05, rtol=0.05)
    assert mask.sum(1).tolist() == [7, 2]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, weights[name])
    pooled = pooled_features(encoder, TEXTS, keys, store=store, engine=engine)
    assert pooled.dtype == np.float32


def test_whatever_changes_the_features_changes_the_space():
    encoder = Small()
    spaces = [
        feature_space(encoder, 1, FP32),
        feature_space(encoder, 2, FP32),
        feature_space(encoder, 2, FP32, pooled=True),
        feature_space(encoder, 2, BF16),
        feature_space(encoder, 2, CAST),
        feature_space(Small(seed=1), 2, FP32),
    ]
    assert len(set(spaces)) == len(spaces)
    assert feature_space(Small(), 1, FP32) == spaces[0]
    assert feature_space(Small(), 1, Engine(attention="eager")) == spaces[0]


def test_progress_adds_up_to_all_rows(store):
    encoder, keys = Small(), text_keys(TEXTS)
    for rows in (10, len(TEXTS), len(TEXTS)):
        done = []
        pooled_features(
            encoder, TEXTS[:rows], keys[:rows], store=store, engine=FP32, progress=done.append
        )
        assert sum(done) == rows


def test_no_rows_give_no_features(store):
    assert pooled_features(Small(), [], text_keys([]), store=store, engine=FP32).shape == (0, 8)
    assert len(prefix_features(Small(), [], [], 1, store=store, engine=FP32)) == 0


def test_what_is_not_finite_is_named_and_not_kept(store):
    encoder, keys = Small(), text_keys(TEXTS)
    broken = 2 + zlib.crc32(b"d") % 9971
    with torch.no_grad():
        encoder.words.weight[broken] = float("nan")
    assert [row for row, text in enumerate(TEXTS) if broken in encoder.preprocess([text])[0]] == [1]
    with pytest.raises(ModelError, match=r"row 1: .*not finite"):
        prefix_features(encoder, TEXTS, keys, 1, store=store, engine=FP32)
    assert store.counts().computed == 0


def test_keys_tell_texts_apart():
    texts = ["a", "A", "a ", "", "ä", "a\u0308", "\ud800"]
    assert len(set(text_keys(texts).tolist())) == len(texts)
    assert text_keys(["a"]) == text_keys(["b", "a"])[1:]
    assert text_keys(texts).dtype == np.dtype("S16")
