"""The formulas of merges on plain arrays."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.fusion.merges import search
from transfuse.fusion.merges.fisher import fisher_mean
from transfuse.fusion.merges.heads import align_rows
from transfuse.fusion.merges.iso_c import isotropic
from transfuse.fusion.merges.layerwise import mixed
from transfuse.fusion.merges.regmean import regression_mean
from transfuse.fusion.merges.tsv_m import nearest_orthogonal, orthogonal_sum
from transfuse.fusion.merges.wemoe import fit_router
from transfuse.fusion.merges.wudi import least_interference

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(SEEDS, st.integers(2, 4))
def test_regmean_of_least_squares_is_least_squares_on_the_union(seed: int, models: int) -> None:
    inputs = [drawn(seed + n, 30, 5).double() for n in range(models)]
    outputs = [drawn(seed + 100 + n, 30, 3).double() for n in range(models)]
    own = [torch.linalg.lstsq(x, y).solution.T for x, y in zip(inputs, outputs, strict=True)]
    found = regression_mean(own, [x.T @ x for x in inputs], shrinkage=0.0)
    union = torch.linalg.lstsq(torch.cat(inputs), torch.cat(outputs)).solution.T
    torch.testing.assert_close(found, union, atol=1e-4, rtol=0)


@given(SEEDS)
def test_regmean_without_products_of_different_inputs_weighs_each_column(seed: int) -> None:
    weights = [drawn(seed + n, 3, 4) for n in range(2)]
    inputs = [drawn(seed + 10 + n, 20, 4) for n in range(2)]
    products = [x.T @ x for x in inputs]
    found = regression_mean(weights, products, shrinkage=1.0)
    shares = torch.stack([product.diagonal() for product in products])
    wanted = sum(w * s for w, s in zip(weights, shares / shares.sum(0), strict=True))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_regmean_takes_the_mean_where_inputs_say_nothing() -> None:
    weights = [drawn(n, 3, 4) for n in range(2)]
    dead = torch.zeros(4, 4)
    torch.testing.assert_close(
        regression_mean(weights, [dead, dead], 0.1), (weights[0] + weights[1]) / 2
    )
    seen = torch.zeros(4, 4)
    seen[0, 0] = 5.0
    found = regression_mean(weights, [seen, dead], 0.1)
    # The first input is one model's alone; on the others both know equally little.
    torch.testing.assert_close(found[:, 0], weights[0][:, 0], atol=1e-5, rtol=0)


@given(SEEDS, st.floats(0.1, 10))
def test_equal_information_gives_the_mean(seed: int, factor: float) -> None:
    weights = [{"a": drawn(seed, 3, 2)}, {"a": drawn(seed + 1, 3, 2)}]
    information = {"a": drawn(seed + 2, 3, 2).square() + 0.1}
    # A model whose gradients are all larger does not count more.
    more = {"a": factor * information["a"]}
    found = fisher_mean(weights, [information, more])
    torch.testing.assert_close(found["a"], (weights[0]["a"] + weights[1]["a"]) / 2)


def test_what_only_one_model_depends_on_is_its_own() -> None:
    weights = [{"a": torch.tensor([1.0, 1.0])}, {"a": torch.tensor([0.0, 0.0])}]
    information = [{"a": torch.tensor([4.0, 0.0])}, {"a": torch.tensor([0.0, 4.0])}]
    found = fisher_mean(weights, information)
    torch.testing.assert_close(found["a"], torch.tensor([1.0, 0.0]), atol=1e-5, rtol=0)
    nothing = [{"a": torch.zeros(2)}, {"a": torch.zeros(2)}]
    torch.testing.assert_close(fisher_mean(weights, nothing)["a"], torch.tensor([0.5, 0.5]))


@given(SEEDS, st.integers(1, 4))
def test_isotropic_deltas_have_one_singular_value(seed: int, models: int) -> None:
    deltas = [drawn(seed + n, 6, 4) for n in range(models)]
    found = isotropic(deltas)
    values = torch.linalg.svdvals(found)
    before = torch.linalg.svdvals(sum(deltas, torch.zeros(6, 4)))
    torch.testing.assert_close(values, before.mean().expand(4), atol=1e-4, rtol=1e-4)
    assert float((found * sum(deltas, torch.zeros(6, 4))).sum()) > 0
    assert not isotropic([torch.zeros(6, 4)]).any()


@given(SEEDS, st.integers(2, 3))
def test_singular_vectors_become_orthogonal_and_keep_their_values(seed: int, models: int) -> None:
    deltas = [drawn(seed + n, 12, 9) for n in range(models)]
    found = orthogonal_sum(deltas)
    keep = 9 // models
    kept = torch.cat([torch.linalg.svdvals(delta)[:keep] for delta in deltas])
    values = torch.linalg.svdvals(found)
    wanted = kept.sort(descending=True).values
    torch.testing.assert_close(values[: len(kept)], wanted, atol=1e-3, rtol=1e-3)
    assert float(values[len(kept) :].sum()) < 1e-3


@given(SEEDS)
def test_deltas_that_do_not_meet_are_added(seed: int) -> None:
    basis = nearest_orthogonal(drawn(seed, 8, 8))
    values = torch.diag(torch.arange(4.0, 0.0, -1))
    deltas = [basis[:, part] @ values @ basis[part] for part in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(orthogonal_sum(deltas), sum(deltas), atol=1e-3, rtol=1e-3)


def interference(merged: torch.Tensor, deltas: list[torch.Tensor]) -> float:
    return sum(
        float(((merged - delta) @ delta.T).square().sum() / delta.square().sum())
        for delta in deltas
    )


@given(SEEDS)
def test_wudi_interferes_less_than_the_sum(seed: int) -> None:
    deltas = [0.01 * drawn(seed + n, 6, 8) for n in range(3)]
    found = least_interference(deltas, steps=100, rate=1e-4)
    assert interference(found, deltas) < 0.9 * interference(sum(deltas, 0 * found), deltas)
    torch.testing.assert_close(least_interference(deltas, steps=0), sum(deltas, torch.zeros(6, 8)))


def test_wudi_keeps_deltas_that_do_not_meet_and_ignores_models_that_stand_still() -> None:
    first, second = torch.zeros(4, 4), torch.zeros(4, 4)
    first[:, :2], second[:, 2:] = drawn(0, 4, 2), drawn(1, 4, 2)
    found = least_interference([first, second, torch.zeros(4, 4)], steps=20)
    # Adam moves by its rate whatever the gradient, which is rounding here.
    torch.testing.assert_close(found, first + second, atol=1e-3, rtol=0)
    torch.testing.assert_close(least_interference([first, 0 * first], steps=20), first)


@given(SEEDS)
def test_coefficients_reach_their_layer_alone(seed: int) -> None:
    base = {"a": drawn(seed, 2), "b": drawn(seed + 1, 3)}
    deltas = tuple({name: drawn(seed + n, len(v)) for name, v in base.items()} for n in (2, 3))
    factors = torch.zeros(2, 2)
    factors[1, 1] = 0.7
    found = mixed(base, deltas, [["a"], ["b"]], factors)
    torch.testing.assert_close(found["a"], base["a"])
    torch.testing.assert_close(found["b"], base["b"] + 0.7 * deltas[1]["b"])


def test_rows_of_one_label_are_averaged_and_the_others_stand() -> None:
    parts = [torch.tensor([[1.0], [2.0]]), torch.tensor([[10.0], [20.0]])]
    names = [("x", "y"), ("y", "z")]
    found = align_rows(parts, names, ("z", "x", "y"))
    assert found.tolist() == [[20.0], [1.0], [6.0]]
    first = align_rows(parts, names, ("z", "x", "y"), (1.0, 0.0))
    assert first.tolist() == [[20.0], [1.0], [2.0]], "a label that only the other knows stays"


@given(st.floats(0.0, 2.0))
def test_the_search_comes_near_the_peak(peak: float) -> None:
    found = search(lambda value: (-((value - peak) ** 2), 0.0), 0.0, 2.0, points=6, sections=6)
    assert abs(found.value - peak) < 0.05
    assert len(found.tried) <= 12
    assert found.worth[0] == max(metric for _, metric in found.tried)


def test_the_search_takes_the_least_of_equals_and_the_loss_decides_between_scores() -> None:
    assert search(lambda value: (1.0, 1.0), 0.0, 1.0).value == 0.0
    assert search(lambda value: (1.0, value), 0.0, 1.0).value == 1.0
    with pytest.raises(ValueError, match="low < high"):
        search(lambda value: (0.0, 0.0), 1.0, 1.0)


def test_the_router_finds_who_is_right() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(200, 4)) * [1, 10, 1, 1] + 3).float()
    first = vectors[:, 1] > 3
    chances = torch.where(first[:, None], torch.tensor([0.9, 0.2]), torch.tensor([0.1, 0.8]))
    weight, bias = fit_router(vectors, chances, decay=1e-3)
    gates = (vectors @ weight.T + bias).softmax(1)
    assert ((gates[:, 0] > 0.5) == first).float().mean() > 0.95


def test_a_router_of_equal_models_counts_them_alike() -> None:
    weight, bias = fit_router(drawn(0, 50, 3), torch.full((50, 2), 0.7), decay=1e-3)
    torch.testing.assert_close(weight, torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(bias, torch.zeros(2), atol=1e-5, rtol=0)
