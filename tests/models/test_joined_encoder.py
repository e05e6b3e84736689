"""`JoinedEncoder`: several encoders that everything else takes for one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from joined_models import joined, picture, some_records, tiny_fields, tiny_image
from transfuse.data import Records, Role
from transfuse.errors import DataError
from transfuse.models import JoinedEncoder, read_inputs

Tiny = Callable[..., Path]


@pytest.fixture
def encoder(tiny: Tiny) -> JoinedEncoder:
    return joined(tiny)


def _pooled(encoder: JoinedEncoder, rows: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = encoder(encoder.collate(encoder.preprocess(rows))).pooled
    return found


def test_the_vector_is_those_of_the_columns_and_a_flag_for_each(encoder: JoinedEncoder) -> None:
    records = some_records()
    found = _pooled(encoder, records)
    assert encoder.reads == (Role.TEXT, Role.IMAGE, Role.FIELDS)
    assert found.shape == (4, encoder.dim)
    begin = 0
    for place, (name, part) in enumerate(encoder.encoders()):
        has = [row for row, value in enumerate(records.parts[name]) if value is not None]
        with torch.no_grad():
            rows = part.preprocess([records.parts[name][row] for row in has])
            alone = part(part.collate(rows)).pooled
        own = found[:, begin : begin + part.dim]
        torch.testing.assert_close(own[has], alone)
        lacks = [row for row in range(4) if row not in has]
        assert len(lacks) == 1
        assert not own[lacks].any()
        flags = found[:, len(found[0]) - 3 + place]
        assert flags.tolist() == [float(row in has) for row in range(4)]
        begin += part.dim


def test_a_column_that_a_row_lacks_is_not_encoded(
    encoder: JoinedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[int]] = {"text": [], "image": [], "fields": []}
    for name, part in encoder.encoders():

        def note(_module: Any, given: Any, name: str = name) -> None:
            seen[name].append(len(next(iter(given[0].values()))))

        part.register_forward_pre_hook(note)
    _pooled(encoder, some_records())
    assert seen == {"text": [3], "image": [3], "fields": [3]}
    none_has = Records({"text": ["good"], "image": [None], "fields": [{"price": None}]})
    found = _pooled(encoder, none_has)
    assert seen == {"text": [3, 1], "image": [3], "fields": [3]}
    assert found[0, -3:].tolist() == [1, 0, 0]


def test_the_encoding_of_each_column_is_there_with_its_tokens(encoder: JoinedEncoder) -> None:
    batch = encoder.collate(encoder.preprocess(some_records()))
    parts = encoder(batch).parts
    assert parts is not None
    assert list(parts) == ["text", "image", "fields"]
    for column in encoder.columns:
        part = parts[column.name]
        assert part.pooled.shape == (4, column.dim)
        assert part.tokens is not None
        assert part.tokens.shape[::2] == (4, column.tokens)
    assert parts["text"].mask is not None
    assert parts["text"].mask[3].sum() == 0
    assert parts["text"].mask[0].sum() == 5


def test_layers_are_aligned_at_the_output(encoder: JoinedEncoder) -> None:
    layers = encoder.layers()
    parts = dict(encoder.encoders())
    assert len(layers) == encoder.depth == max(part.depth for part in parts.values())
    for part in parts.values():
        for below, modules in enumerate(reversed(part.layers())):
            assert {id(each) for each in modules} <= {id(each) for each in layers[-1 - below]}
    everything = [id(weight) for layer in layers for each in layer for weight in each.parameters()]
    assert len(everything) == len(set(everything)) == len(list(encoder.parameters()))


def test_rows_have_keys_and_lengths_by_their_contents(encoder: JoinedEncoder) -> None:
    rows = encoder.preprocess(some_records())
    keys = rows.keys()
    again = encoder.preprocess(some_records()).take([2, 0])
    assert keys[[2, 0]].tolist() == again.keys().tolist()
    assert len(set(keys.tolist())) == 4
    other = some_records()
    other.parts["image"] = [picture(254), *list(other.parts["image"])[1:]]
    changed = encoder.preprocess(other).keys()
    assert changed[0] != keys[0]
    assert changed[1:].tolist() == keys[1:].tolist()
    for row in range(4):
        costs = [
            int(part.rows.lengths[rows.places[name][row]])
            for name, part in rows.parts.items()
            if rows.places[name][row] >= 0
        ]
        assert rows.lengths[row] == sum(costs)
    assert rows.without(["text"]).keys()[0] != keys[0]
    assert rows.without(["text"]).lengths[0] < rows.lengths[0]


def test_taking_rows_is_taking_their_vectors(encoder: JoinedEncoder) -> None:
    inputs = read_inputs(encoder, some_records())
    picked = inputs.take(np.array([3, 1, 1]))
    with torch.no_grad():
        found = encoder(encoder.collate(picked.tokens)).pooled
    torch.testing.assert_close(found, _pooled(encoder, some_records())[[3, 1, 1]])
    assert picked.keys.tolist() == picked.tokens.keys().tolist()


def test_batches_may_be_cut_by_rows(encoder: JoinedEncoder) -> None:
    batch = encoder.collate(encoder.preprocess(some_records()))
    some = torch.tensor([2, 3])
    with torch.no_grad():
        cut = encoder({name: tensor[some] for name, tensor in batch.items()}).pooled
        torch.testing.assert_close(cut, encoder(batch).pooled[some])


def test_it_can_be_taken_up_at_the_end_alone(encoder: JoinedEncoder) -> None:
    assert [encoder.can_resume(layers) for layers in range(encoder.depth + 1)] == [
        True,
        *[False] * (encoder.depth - 1),
        True,
    ]
    batch = encoder.probe_batch()
    hidden = encoder.prefix(batch, encoder.depth)
    resumed = encoder({"hidden": hidden}, from_layer=encoder.depth).pooled
    with torch.no_grad():
        torch.testing.assert_close(resumed, encoder(batch).pooled)
    for call in (lambda: encoder.prefix(batch, 1), lambda: encoder(batch, from_layer=1)):
        with pytest.raises(ValueError, match="layer"):
            call()


def test_a_probe_has_rows_with_and_without_a_column(encoder: JoinedEncoder) -> None:
    present = encoder.probe_batch()["present"]
    assert present[:, -1].tolist().count(0.0) == 1
    assert present[:, :-1].all()


def test_its_name_is_that_of_its_encoders_weights(tiny: Tiny, encoder: JoinedEncoder) -> None:
    before = encoder.fingerprint(encoder.depth)
    assert copy.deepcopy(encoder).fingerprint(encoder.depth) == before
    for _, part in encoder.encoders():
        weights = list(part.parameters())
        if weights:
            with torch.no_grad():
                weights[-1].add_(0.1)
            changed = encoder.fingerprint(encoder.depth)
            assert changed != before
            before = changed
    assert joined(tiny, "text", "image").fingerprint(4) != joined(tiny, "text").fingerprint(4)
    assert joined(tiny, "text").preprocessing != joined(tiny, "text", "image").preprocessing


def test_fresh_weights_come_from_the_seed(encoder: JoinedEncoder) -> None:
    before = [weight.clone() for weight in encoder.parameters()]
    encoder.reset(1)
    first = [weight.clone() for weight in encoder.parameters()]
    encoder.reset(1)
    for weight, once in zip(encoder.parameters(), first, strict=True):
        assert torch.equal(weight, once)
    moved = [not torch.equal(a, b) for a, b in zip(before, first, strict=True)]
    assert np.mean(moved) > 0.4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_for_inference_answers_alike(encoder: JoinedEncoder, dtype: torch.dtype) -> None:
    copied = encoder.copied_as(dtype)
    expected, found = _pooled(encoder, some_records()), _pooled(copied, some_records()).float()
    likeness = torch.cosine_similarity(expected, found)
    assert likeness.min() > 0.99
    assert not any(weight.requires_grad for weight in copied.parameters())
    assert copied.columns == encoder.columns
    # Numbers and flags keep 32 bits whatever the towers do.
    torch.testing.assert_close(expected[:, -8:], found[:, -8:], atol=0, rtol=0)


def test_adapters_go_into_every_backbone(encoder: JoinedEncoder) -> None:
    assert [place.role for place in encoder.adaptable()] == [Role.TEXT, Role.IMAGE]


def test_attention_is_switched_in_every_encoder(encoder: JoinedEncoder) -> None:
    assert encoder.set_attention("eager")
    text = dict(encoder.encoders())["text"]
    assert text.attention == "eager"  # type: ignore[union-attr]


def test_each_encoder_finishes_on_the_rows_that_have_its_column(tiny: Tiny) -> None:
    image = tiny_image()
    image.batch_norm = "recomputed"
    encoder = JoinedEncoder({"image": image, "fields": tiny_fields()})
    assert encoder.finishes
    assert not joined(tiny).finishes
    rows = Records.of(
        [{"image": picture(255)}, {"fields": {"price": 1.0}}, {"image": picture(0, 255)}],
        ["image", "fields"],
    )
    batch = encoder.collate(encoder.preprocess(rows))
    alone = tiny_image()
    alone.batch_norm = "recomputed"
    own = alone.collate(alone.preprocess([picture(255), picture(0, 255)]))
    encoder.finish(lambda: [batch, batch])
    alone.finish(lambda: [own, own])
    found = {name: value for name, value in image.state_dict().items() if "running" in name}
    assert found
    for name, value in alone.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(found[name], value)


def test_values_of_one_column_are_refused_where_several_are_read(encoder: JoinedEncoder) -> None:
    with pytest.raises(DataError, match="one column"):
        encoder.preprocess(["good", "bad"])
    rows = [{"text": "good"}, {"fields": {"price": 1.0}}]
    assert encoder.preprocess(rows).present.tolist() == [[True, False, False], [False, False, True]]


def test_an_encoder_stands_under_its_own_role() -> None:
    with pytest.raises(ValueError, match="odd"):
        JoinedEncoder({"text": tiny_image()})
    with pytest.raises(ValueError, match="expected an encoder"):
        JoinedEncoder({})
    alone = JoinedEncoder({"fields": tiny_fields()})
    assert alone.depth == 1
    assert alone.can_resume(1)
    assert _pooled(alone, Records({"fields": [{"price": 1.0}]}))[0, -1] == 1
