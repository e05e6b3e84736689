"""The mathematics of merging, method by method."""

import math
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from merging.merging_models import whole
from transfuse.errors import ModelError, RecipeError
from transfuse.merging import METHODS
from transfuse.merging.dare_linear import DareLinear
from transfuse.merging.dare_ties import DareTies
from transfuse.merging.linear import Linear
from transfuse.merging.model_stock import ModelStock
from transfuse.merging.slerp import Slerp
from transfuse.merging.task_arithmetic import TaskArithmetic
from transfuse.merging.ties import Ties
from transfuse.recipe import build

SIZE = 24
VECTOR = arrays(np.float32, SIZE, elements=st.floats(-4, 4, width=32))
MODELS = st.lists(VECTOR, min_size=2, max_size=4)
BASE = VECTOR
ALL = [
    Linear(),
    Slerp(),
    TaskArithmetic(),
    Ties(density=0.5),
    DareLinear(),
    DareTies(),
    ModelStock(),
]
SYMMETRIC = [method for method in ALL if not isinstance(method, Slerp)]


def random_models(count: int, size: int = 1000, seed: int = 0, apart: float = 0.1):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(size).astype(np.float32)
    return base, [
        (base + apart * rng.standard_normal(size)).astype(np.float32) for _ in range(count)
    ]


def start_of(method, base):
    return base if method.needs_base else None


def test_every_method_is_tried() -> None:
    assert {type(method) for method in ALL} == set(METHODS.values())


@pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)
def test_the_inputs_stay_as_they_are(method) -> None:
    base, models = random_models(2)
    before = whole([base, *models])
    method.combine("w", start_of(method, base), models)
    for now, then in zip([base, *models], before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)
def test_shapes_stay(method) -> None:
    base, models = random_models(2, 12)
    shaped = [model.reshape(2, 3, 2) for model in models]
    merged = method.combine("w", start_of(method, base.reshape(2, 3, 2)), shaped)
    flat = method.combine("w", start_of(method, base), models)
    assert merged.shape == (2, 3, 2)
    assert merged.dtype == np.float32
    np.testing.assert_array_equal(merged.reshape(-1), flat)
    empty = np.empty((0, 3), np.float32)
    assert method.combine("w", start_of(method, empty), [empty, empty]).shape == (0, 3)


@pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)
def test_models_that_are_the_base_merge_to_it(method) -> None:
    base, _ = random_models(0)
    merged = method.combine("w", start_of(method, base), [base, base])
    np.testing.assert_array_equal(merged, base)


@pytest.mark.parametrize("method", SYMMETRIC, ids=lambda method: type(method).__name__)
@given(base=BASE, models=MODELS, data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_models_means_nothing(method, base, models, data) -> None:
    order = data.draw(st.permutations(range(len(models))))
    merged = method.combine("w", start_of(method, base), models)
    other = method.combine("w", start_of(method, base), [models[place] for place in order])
    if "Ties" in type(method).__name__:
        # A sum that rounding alone takes from 0 may elect either sign.
        close = np.abs(sum(np.sign(model - base) for model in models)) == len(models)
        merged, other = merged[close], other[close]
    np.testing.assert_allclose(merged, other, rtol=1e-5, atol=1e-5)


@given(model=VECTOR, count=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_linear_of_the_same_is_the_same(model, count) -> None:
    np.testing.assert_array_equal(Linear().combine("w", None, [model] * count), model)


@given(models=st.lists(VECTOR, min_size=2, max_size=2), share=st.floats(0.125, 8))
@settings(max_examples=30, deadline=None)
def test_linear_is_the_weighted_mean(models, share) -> None:
    merged = Linear(weights=(1.0, share)).combine("w", None, models)
    mean = (models[0].astype(np.float64) + share * models[1]) / (1 + share)
    np.testing.assert_allclose(merged, mean, atol=2e-6)
    total = Linear(weights=(1.0, share), normalise=False).combine("w", None, models)
    np.testing.assert_allclose(total, mean * (1 + share), atol=2e-5)


def test_weights_that_sum_to_0_are_an_error_not_nan() -> None:
    with pytest.raises(ValueError, match="sum to 0"):
        Linear(weights=(1.0, -1.0))
    _, models = random_models(2)
    merged = Linear(weights=(1.0, -1.0), normalise=False).combine("w", None, models)
    np.testing.assert_allclose(merged, models[0] - models[1], atol=1e-6)


@given(first=VECTOR, second=VECTOR, t=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_slerp_goes_along_the_arc(first, second, t) -> None:
    merged = Slerp(t=t).combine("w", None, [first, second]).astype(np.float64)
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a), np.linalg.norm(b)
    cosine = a @ b / (norms[0] * norms[1]) if min(norms) > 0 else 1.0
    if abs(cosine) > 1 - 1e-6:
        return
    angle = math.acos(cosine)
    wanted = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
    np.testing.assert_allclose(merged, wanted, atol=2e-5 * max(1, np.abs(wanted).max()))


def test_slerp_ends_where_the_models_are() -> None:
    _, (first, second) = random_models(2, apart=1.0)
    np.testing.assert_array_equal(Slerp(t=0).combine("w", None, [first, second]), first)
    np.testing.assert_allclose(Slerp(t=1).combine("w", None, [first, second]), second, atol=1e-6)
    middle = Slerp().combine("w", None, [first / np.linalg.norm(first), second * 2])
    np.testing.assert_allclose(
        middle, Slerp().combine("w", None, [second * 2, first / np.linalg.norm(first)]), atol=1e-6
    )


def test_slerp_goes_straight_where_there_is_no_arc() -> None:
    _, (first, _) = random_models(2)
    np.testing.assert_allclose(
        Slerp(t=0.25).combine("w", None, [first, 3 * first]), 1.5 * first, rtol=1e-6
    )
    np.testing.assert_allclose(
        Slerp(t=0.25).combine("w", None, [first, -first]), 0.5 * first, atol=1e-6
    )
    zero = np.zeros_like(first)
    np.testing.assert_allclose(Slerp().combine("w", None, [first, zero]), first / 2, atol=1e-6)


def test_slerp_of_large_tensors_is_exact_and_mergekit_goes_straight() -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal(1_000_000).astype(np.float32) + 3
    second = (first + 0.05 * rng.standard_normal(len(first))).astype(np.float32)
    a, b = first.astype(np.float64), second.astype(np.float64)
    angle = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    arc = (math.sin(0.7 * angle) * a + math.sin(0.3 * angle) * b) / math.sin(angle)
    merged = Slerp(t=0.3).combine("w", None, [first, second])
    assert np.abs(merged - arc).max() / np.abs(arc).max() < 2e-7
    straight = Slerp(t=0.3, compat="mergekit").combine("w", None, [first, second])
    np.testing.assert_allclose(straight, 0.7 * a + 0.3 * b, atol=1e-6)
    assert math.cos(angle) > 0.9995


@given(base=BASE, models=MODELS, scale=st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_task_arithmetic_adds_what_was_learnt(base, models, scale) -> None:
    wide = base.astype(np.float64)
    wanted = wide + scale * sum(model - wide for model in models)
    merged = TaskArithmetic(scale=scale).combine("w", base, models)
    np.testing.assert_allclose(merged, wanted, atol=2e-5)
    weights = tuple(float(place) for place in range(len(models)))
    wanted = wide + scale * sum(w * (m - wide) for w, m in zip(weights, models, strict=True))
    merged = TaskArithmetic(scale=scale, weights=weights).combine("w", base, models)
    np.testing.assert_allclose(merged, wanted, atol=5e-5)


@given(base=BASE, model=VECTOR, scale=st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_ties_of_one_model_is_task_arithmetic(base, model, scale) -> None:
    ties = Ties(density=1.0, scale=scale).combine("w", base, [model])
    plain = TaskArithmetic(scale=scale).combine("w", base, [model])
    np.testing.assert_allclose(ties, plain, atol=1e-6)


@given(base=BASE, models=MODELS)
@settings(max_examples=30, deadline=None)
def test_ties_knows_no_side(base, models) -> None:
    """Turning every sign turns the merge: no sum of 0 elects a sign."""
    merged = Ties(density=0.5).combine("w", base, models)
    turned = Ties(density=0.5).combine("w", -base, [-model for model in models])
    np.testing.assert_array_equal(merged, -turned)


def test_ties_by_hand() -> None:
    base = np.zeros(5, np.float32)
    first = np.array([4, -3, 2, 1, 0], np.float32)
    second = np.array([-2, -5, 4, 0.5, 3], np.float32)
    # Three of five are kept: 4 -3 2 and -5 4 3; signs + - + 0 +.
    merged = Ties(density=0.6).combine("w", base, [first, second])
    np.testing.assert_array_equal(merged, [4, -4, 3, 0, 3])
    # With weights 1 and 3 the second model outvotes: 4 - 6 < 0; but -2 is not kept.
    merged = Ties(density=0.6, weights=(1, 3)).combine("w", base, [first, second])
    np.testing.assert_allclose(merged, [4, (-3 - 15) / 4, (2 + 12) / 4, 0, 3], rtol=1e-6)
    # PEFT divides the weighted sum by how many agree.
    merged = Ties(density=0.6, weights=(1, 3), compat="peft").combine("w", base, [first, second])
    np.testing.assert_allclose(merged, [4, -18 / 2, 14 / 2, 0, 9], rtol=1e-6)


def test_ties_weighs_the_election_or_not() -> None:
    base = np.zeros(1, np.float32)
    models = [np.array([2], np.float32), np.array([-1], np.float32)]
    weights = (1.0, 3.0)
    assert Ties(density=1, weights=weights).combine("w", base, models) == [-1]
    assert Ties(density=1, weights=weights, compat="mergekit").combine("w", base, models) == [-1]
    assert Ties(density=1, weights=weights, compat="peft").combine("w", base, models) == [2]


def test_where_nobody_is_elected_nothing_changes_or_plus_wins() -> None:
    base = np.ones(1, np.float32)
    models = [np.array([3], np.float32), np.array([-1], np.float32)]
    assert Ties(density=1).combine("w", base, models) == [1]
    assert Ties(density=1, compat="mergekit").combine("w", base, models) == [3]
    assert Ties(density=1, compat="peft").combine("w", base, models) == [3]


@pytest.mark.parametrize("density", [0.01, 0.2, 0.7])
def test_ties_is_what_peft_does(density) -> None:
    torch = pytest.importorskip("torch")
    from peft.utils.merge_utils import ties

    base, models = random_models(3, 100_000)
    weights = (1.0, 0.5, 2.0)
    deltas = [torch.from_numpy(model - base) for model in models]
    wanted = base + ties(deltas, torch.tensor(weights), density).numpy()
    merged = Ties(density=density, weights=weights, compat="peft").combine("w", base, models)
    np.testing.assert_allclose(merged, wanted, atol=1e-6)


def mergekit_ties(base, models, weights, density):
    """What mergekit computes, in float64."""
    kept = []
    for model in models:
        delta = (model - base).astype(np.float64)
        most = np.argsort(-np.abs(delta), kind="stable")[: max(1, int(density * delta.size))]
        mask = np.zeros(delta.size)
        mask[most] = 1
        kept.append(delta * mask)
    deltas = np.stack([weight * delta for weight, delta in zip(weights, kept, strict=True)])
    majority = np.where(deltas.sum(0) >= 0, 1, -1)
    agree = np.sign(deltas) == majority
    divisor = (np.array(weights)[:, None] * agree).sum(0)
    divisor[divisor == 0] = 1
    return base + (deltas * agree).sum(0) / divisor


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_ties_is_what_mergekit_does(density) -> None:
    base, models = random_models(3, 20_000)
    weights = (1.0, 0.5, 2.0)
    merged = Ties(density=density, weights=weights, compat="mergekit").combine("w", base, models)
    wanted = mergekit_ties(base, models, weights, density)
    np.testing.assert_allclose(merged, wanted, atol=1e-6)


def test_dare_drops_its_share_and_makes_up_for_it() -> None:
    rng = np.random.default_rng(0)
    base = np.zeros(400_000, np.float32)
    model = rng.standard_normal(len(base)).astype(np.float32)
    for density in (0.1, 0.5, 0.9):
        merged = DareLinear(density=density, scale=1).combine("w", base, [model])
        kept = merged != 0
        deviation = math.sqrt(density * (1 - density) / len(base))
        assert abs(kept.mean() - density) < 4 * deviation
        # The chance is a whole number of 65,536ths, and that very chance is made up for.
        share = round(density * 65_536) / 65_536
        np.testing.assert_allclose(merged[kept], model[kept] / share, rtol=1e-6)
        # Neighbours, and the same places of other streams, are dropped independently.
        beside = np.corrcoef(kept[1:], kept[:-1])[0, 1]
        other = DareLinear(density=density, seed=1).combine("w", base, [model]) != 0
        third = DareLinear(density=density).combine("v", base, [model]) != 0
        for apart in (beside, np.corrcoef(kept, other)[0, 1], np.corrcoef(kept, third)[0, 1]):
            assert abs(apart) < 4 / math.sqrt(len(base))


def test_dare_grows_to_the_norm_that_was() -> None:
    base = np.zeros(10_000, np.float32)
    model = np.random.default_rng(0).standard_normal(len(base)).astype(np.float32)
    merged = DareLinear(density=0.2, scale=1, rescale="l1").combine("w", base, [model])
    assert np.abs(merged).sum() == pytest.approx(np.abs(model).sum(), rel=1e-5)


def test_dare_at_full_density_is_what_it_thins() -> None:
    base, models = random_models(3)
    np.testing.assert_array_equal(
        DareLinear(density=1).combine("w", base, models),
        TaskArithmetic().combine("w", base, models),
    )
    np.testing.assert_array_equal(
        DareTies(density=1).combine("w", base, models),
        Ties(density=1).combine("w", base, models),
    )


def test_dare_on_reversed_models_drops_the_same() -> None:
    base, models = random_models(3, 200_001)
    for method in (DareLinear(weights=(1, 2, 3)), DareTies(weights=(1, 2, 3))):
        merged = method.combine("w", base, models)
        turned = method.arranged((2, 1, 0)).combine("w", base, models[::-1])
        np.testing.assert_allclose(merged, turned, atol=1e-5)
        other = method.combine("v", base, models)
        assert np.abs(merged - other).max() > 0.01


def test_dare_drops_twins_apart() -> None:
    """Two copies of a model do not lose the same weights."""
    base = np.zeros(100_000, np.float32)
    model = np.ones_like(base)
    merged = DareLinear(density=0.5, scale=1).combine("w", base, [model, model])
    assert {float(value) for value in np.unique(merged)} == {0.0, 2.0, 4.0}


def split_mix(key: int, word: int) -> int:
    """SplitMix64 in exact arithmetic."""
    mixed = (key + (word + 1) * 0x9E3779B97F4A7C15) % 2**64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31


@pytest.mark.parametrize(
    ("density", "bits", "least"), [(0.5, 1, 1), (0.25, 8, 64), (0.1, 16, 6554)]
)
def test_dares_numbers_stay_for_ever(density, bits, least) -> None:
    """A merge of today must be had again in a year: the stream is part of what is promised."""
    assert split_mix(0, 0) == 0xE220A8397B1DCDAF  # as its authors print it
    model = np.arange(1, 100_000, dtype=np.float32)
    merged = DareLinear(density=density, scale=1, seed=3).combine("w", 0 * model, [model])
    middle = (len(model) - 1024) // 2
    few = [*model[:1024], *model[middle : middle + 1024], *model[-1024:]]
    held = sum(np.array(few, np.float32).view(np.uint32).tolist())
    key = int.from_bytes(blake2b(f"3 {held} 0 w".encode(), digest_size=8).digest(), "little")
    each = 64 // bits
    for place in (*range(40), 50_001, 65_535, 65_536, 65_537, 99_998):
        drawn = split_mix(key, place // each) >> bits * (place % each) & (1 << bits) - 1
        assert (merged[place] != 0) == (drawn < least)


def test_dare_tells_models_apart_that_begin_alike() -> None:
    """Models that differ in one weight alone drop apart, in whatever order they come."""
    base = np.zeros(100_000, np.float32)
    first = np.ones_like(base)
    second = first.copy()
    second[20_000] = 1.5
    method = DareLinear(density=0.5, scale=1)
    merged = method.combine("w", base, [first, second])
    assert {float(value) for value in np.unique(merged)} >= {0.0, 2.0, 4.0}
    np.testing.assert_array_equal(merged, method.combine("w", base, [second, first]))


def test_the_smallest_density_keeps_a_little() -> None:
    base = np.zeros(1_000_000, np.float32)
    merged = DareLinear(density=1e-9, scale=1).combine("w", base, [base + 1])
    assert 1 <= np.count_nonzero(merged) < 50
    assert set(np.unique(merged)) == {0.0, 65_536.0}


def test_model_stock_by_hand() -> None:
    base = np.zeros(2, np.float32)
    models = [np.array([1, 0], np.float32), np.array([1, 1], np.float32)]
    cosine = 1 / math.sqrt(2)
    t = 2 * cosine / (1 + cosine)
    wanted = t * np.array([1, 0.5])
    np.testing.assert_allclose(ModelStock().combine("w", base, models), wanted, rtol=1e-6)


def test_model_stock_stays_at_the_base_where_models_part() -> None:
    base = np.zeros(2, np.float32)
    models = [np.array([1, 0], np.float32), np.array([-1, 0.5], np.float32)]
    np.testing.assert_array_equal(ModelStock().combine("w", base, models), base)
    cosine = -1 / math.hypot(1, 0.5)
    t = 2 * cosine / (1 + cosine)
    merged = ModelStock(compat="mergekit").combine("w", base, models)
    np.testing.assert_allclose(merged, [0, t * 0.25], rtol=1e-4, atol=1e-6)
    opposed = [models[0], -models[0]]
    merged = ModelStock(compat="mergekit").combine("w", base, opposed)
    np.testing.assert_array_equal(merged, base)


def test_what_does_not_fit_is_said_before_any_weights_are_read() -> None:
    _, models = random_models(3)
    with pytest.raises(ModelError, match="3 models"):
        Slerp().combine("w", None, models)
    with pytest.raises(ModelError, match="no base"):
        Ties().combine("w", None, models)
    with pytest.raises(ModelError, match="2 for 3 models"):
        Linear(weights=(1, 2)).combine("w", None, models)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ties": {"densty": 0.5}}, r"ties\.densty: unknown option.*Did you mean 'density'"),
        ({"ties": {"density": 0}}, "density lies in"),
        ({"ties": {"weights": [1, -1]}}, "at least 0"),
        ({"dare_ties": {"weights": [0, 0]}}, "not all 0"),
        ({"dare_linear": {"density": 1.5}}, "density lies in"),
        ({"dare_linear": {"rescale": "l3"}}, "rescale"),
        ({"slerp": {"t": 2}}, "t lies in"),
        ({"linear": {"weights": [1, "x"]}}, "weights"),
        ({"linear": {"weights": [1, float("nan")]}}, "finite"),
        ({"task_arithmetic": {"scale": float("inf")}}, "finite"),
        ({"tis": None}, "Did you mean 'ties'"),
    ],
)
def test_wrong_options_are_errors(spec, message) -> None:
    with pytest.raises(RecipeError, match=message):
        build(METHODS, spec, "fuse")
