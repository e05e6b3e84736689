"""BatchNorm's statistics in training: frozen, adapted, recomputed, and from scratch."""

from typing import Any

import pytest
import torch

from tiny_pictures import photos, tiny_encoder
from transfuse.models.images.batch_norm import normalisers


def statistics(encoder: Any) -> list[torch.Tensor]:
    return [layer.running_mean.clone() for layer in normalisers(encoder)]


def moved(before: list[torch.Tensor], encoder: Any) -> list[bool]:
    return [not torch.equal(a, b) for a, b in zip(before, statistics(encoder), strict=True)]


def by_layer(encoder: Any) -> list[int]:
    """How many of the statistics come before each layer."""
    counts = [sum(len(normalisers(part)) for part in layer) for layer in encoder.layers()]
    return [sum(counts[:place]) for place in range(len(counts) + 1)]


def batches(encoder: Any) -> list[Any]:
    rows = encoder.preprocess(photos(12))
    return [encoder.collate(rows.take(range(start, start + 4))) for start in (0, 4, 8)]


def trained(encoder: Any, frozen: int) -> Any:
    """The encoder after a few steps of the loop, with some of its layers frozen."""
    encoder.train()
    for number, layer in enumerate(encoder.layers()):
        for part in layer:
            part.requires_grad_(number >= frozen)
            if number < frozen:
                part.eval()
    for batch in batches(encoder):
        encoder(batch)
    return encoder


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_statistics_stay_and_rows_are_normalised_by_them(frozen):
    encoder = tiny_encoder("resnet")
    before = statistics(encoder)
    trained(encoder, frozen)
    assert not any(moved(before, encoder))
    first, *_ = batches(encoder)
    plain = encoder(first).pooled
    # Which rows share a batch does not matter, in training as later.
    alone = encoder({"pixels": first["pixels"][:1]}).pooled
    assert torch.allclose(plain[:1], alone, atol=1e-5)
    assert any(each.training for each in encoder.modules())
    assert all(layer.weight.requires_grad for layer in normalisers(encoder)[by_layer(encoder)[2] :])


@pytest.mark.parametrize("choice", ["adapted", "recomputed"])
@pytest.mark.parametrize("frozen", [0, 2])
def test_adapted_statistics_follow_in_the_layers_that_train(choice, frozen):
    encoder = tiny_encoder("resnet", batch_norm=choice)
    before = statistics(encoder)
    trained(encoder, frozen)
    still = by_layer(encoder)[frozen]
    assert moved(before, encoder) == [False] * still + [True] * (len(before) - still)


def test_recomputed_statistics_are_those_of_the_rows():
    encoder = trained(tiny_encoder("resnet", batch_norm="recomputed"), 2)
    assert encoder.finishes
    encoder.eval()
    seen: list[torch.Tensor] = []
    last = normalisers(encoder)[-1]
    rows = batches(encoder)
    still = by_layer(encoder)[2]
    before = statistics(encoder)
    handle = last.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean((0, 2, 3))))
    encoder.finish(lambda: rows)
    handle.remove()
    assert len(seen) == 3
    assert torch.allclose(last.running_mean, torch.stack(seen).mean(0), atol=1e-5)
    assert moved(before, encoder) == [False] * still + [True] * (len(before) - still)
    assert not any(each.training for each in encoder.modules())
    assert last.momentum == 0.1


def test_only_recomputed_ones_ask_for_the_rows_again():
    assert not tiny_encoder("resnet").finishes
    assert not tiny_encoder("resnet", batch_norm="adapted").finishes
    assert not tiny_encoder("vit", batch_norm="recomputed").finishes
    frozen = tiny_encoder("resnet", batch_norm="recomputed").requires_grad_(False)
    before = statistics(frozen)
    frozen.finish(lambda: batches(frozen))
    assert not any(moved(before, frozen))


def test_from_scratch_the_statistics_are_learnt_whatever_was_chosen():
    encoder = tiny_encoder("resnet")
    encoder.reset(0)
    assert all(torch.equal(each, torch.zeros_like(each)) for each in statistics(encoder))
    before = statistics(encoder)
    trained(encoder, 0)
    assert all(moved(before, encoder))
    assert {layer.momentum for layer in normalisers(encoder)} == {0.1}


def test_the_choice_survives_copies():
    encoder = tiny_encoder("resnet", batch_norm="adapted")
    assert encoder.copied_as(torch.float32).batch_norm == "adapted"
