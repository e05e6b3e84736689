"""Towers: each column alone, vectors of length 1, a bounded scale."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from joined_models import some_records
from pair_models import pair_network
from transfuse.errors import RecipeError
from transfuse.models import Network
from transfuse.models.columns import Column, Towers
from transfuse.models.columns.towers import GREATEST_SCALE, towers_of

Tiny = Callable[..., Path]


def logits(network: Network, pooled: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network({"pooled": pooled}).logits["target"]


def test_a_column_does_not_see_the_other(tiny: Tiny) -> None:
    network = pair_network(tiny)
    dim = network.encoder.dim
    rows = torch.randn(5, dim)
    rows[:, -2:] = 1
    other = rows.clone()
    other[:, :32] = torch.randn(5, 32)  # the text stands first
    one, two = logits(network, rows), logits(network, other)
    assert torch.equal(one[:, :16], two[:, :16])
    assert not torch.allclose(one[:, 16:], two[:, 16:])
    assert torch.allclose(one.reshape(5, 2, 16).norm(dim=2), torch.ones(5, 2), atol=1e-5)


def test_captions_come_second_whatever_the_order_of_columns() -> None:
    columns = [Column("text", 4, 4), Column("image", 6, 6)]
    towers = Towers(width=3)
    assert towers.build(columns, 0).order == ("image", "text")
    assert towers.build(columns[::-1], 0).order == ("image", "text")
    sounds = [Column("audio", 4, 4), Column("image", 6, 6)]
    assert towers.build(sounds, 0).order == ("audio", "image")


def test_what_a_row_does_not_have_is_0(tiny: Tiny) -> None:
    network = pair_network(tiny)
    encoder = network.encoder
    with torch.no_grad():
        found = network(encoder.collate(encoder.preprocess(some_records()))).logits["target"]
    lengths = found.reshape(4, 2, 16).norm(dim=2)
    assert torch.allclose(lengths[:, 0], torch.tensor([1.0, 0, 1, 1]), atol=1e-5)
    assert torch.allclose(lengths[:, 1], torch.tensor([1.0, 1, 1, 0]), atol=1e-5)


def test_the_scale_is_bounded_and_can_come_back() -> None:
    towers = Towers(width=3).build([Column("text", 4, 4), Column("image", 6, 6)], 0)
    assert towers.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        towers.log_scale.fill_(math.log(GREATEST_SCALE) + 3)
    scale = towers.scale
    assert scale.item() == pytest.approx(GREATEST_SCALE)
    scale.backward()
    assert float(towers.log_scale.grad) > 0


def test_a_linear_projection_can_be_set() -> None:
    columns = [Column("text", 4, 4), Column("image", 6, 6)]
    towers = Towers(width=3, hidden=5, dropout=0.0).build(columns, 0)
    weight, bias = np.random.default_rng(0).normal(size=(3, 6)), np.array([1.0, 0.0, -1.0])
    towers.tower("image").set_linear(weight, bias)
    rows = torch.randn(7, 6)
    with torch.no_grad():
        found = towers.vectors("image", rows).numpy()
        normed = towers.tower("image").norm(rows).numpy()
    wanted = normed @ weight.T + bias
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.allclose(found, wanted, atol=1e-5)


def test_two_columns_are_compared_and_no_more() -> None:
    columns = [Column("text", 4, 4), Column("image", 6, 6), Column("audio", 3, 3)]
    for wrong in (columns, columns[:1]):
        with pytest.raises(RecipeError, match="two columns"):
            Towers().build(wrong, 0)
    with pytest.raises(RecipeError, match="towers"):
        towers_of("clip", torch.nn.Identity())


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0},
        {"hidden": -1},
        {"dropout": 1.0},
        {"temperature": 0.001},
        {"bias": math.inf},
        {"dropout_of_columns": 0.1},
    ],
)
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Towers(**options)  # type: ignore[arg-type]
