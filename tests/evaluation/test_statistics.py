"""The bootstrap: coverage by simulation, textbook answers, pairing, invariances; Holm by hand."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metric_inputs import detection, segmentation
from transfuse.errors import DataError
from transfuse.evaluation import METRICS, Bootstrap, Gain, holm

ACCURACY = METRICS["accuracy"]
MSE = METRICS["mse"]


def right_where(correct):
    """Probabilities [S, n, 2] whose predicted class is 0 (right, for labels 0) where correct."""
    correct = np.atleast_2d(correct)
    return np.where(correct[..., None], [0.8, 0.2], [0.2, 0.8])


def errors_of(values):
    """Predictions [S, n, 1] whose squared error against 0 is the value."""
    return np.sqrt(np.atleast_2d(values))[..., None]


class Simulation:
    """Studies of a two-level world: a score is 20 + document effect + seed effect + row noise."""

    def __init__(self, documents, rows_each, seeds, document, seed, row):
        self.documents = np.repeat(np.arange(documents), rows_each)
        self.seeds, self.sizes = seeds, (document, seed, row)
        self.rng = np.random.default_rng(0)
        self.count = documents

    def draw(self):
        document, seed, row = self.sizes
        rows = len(self.documents)
        return (
            20
            + document * self.rng.normal(size=self.count)[self.documents]
            + seed * self.rng.normal(size=(self.seeds, 1))
            + row * self.rng.normal(size=(self.seeds, rows))
        )

    def coverage(self, studies):
        """Share of studies whose interval holds 20."""
        hits = 0
        for number in range(studies):
            bootstrap = Bootstrap(self.documents, self.seeds, replicates=400, seed=number)
            scores = errors_of(self.draw())
            found = bootstrap.interval(
                bootstrap.replicates(MSE, scores, np.zeros(len(self.documents)))
            )
            hits += found.low <= 20 <= found.high
        return hits / studies


# Standard deviations of document, seed and row effects; 60 documents of 3 rows. The documents'
# mean has the standard error 1 / sqrt(60) = 0.13, the mean of 3 seeds seed / 1.73.
WORLDS = {
    "documents decide": (1.0, 0.02, 0.2),
    "both count": (1.0, 0.22, 0.2),
    "seeds decide": (0.2, 0.6, 0.2),
    "rows count": (0.7, 0.05, 1.0),
}


@pytest.mark.parametrize("sizes", WORLDS.values(), ids=WORLDS)
def test_the_interval_covers_the_truth(sizes):
    # Nominal 95 %. The stated band is 92 to 98; 400 studies know it to 3 * 1.1 points.
    coverage = Simulation(60, 3, 3, *sizes).coverage(400)
    assert 0.92 - 0.033 <= coverage <= 0.98 + 0.02


def test_why_rows_documents_and_uncorrected_seeds_cover_too_little():
    # The same world throughout; each simplification that is in use elsewhere is on trial.
    world = Simulation(60, 3, 3, 1.0, 0.3, 0.2)
    studies = 400
    hits = dict.fromkeys(("rows", "documents", "uncorrected", "ours"), 0)
    rng = np.random.default_rng(1)
    for number in range(studies):
        scores = world.draw()
        rows = len(world.documents)
        by_document = scores.mean(axis=0).reshape(60, 3).mean(axis=1)
        drawn_rows = scores.mean(axis=0)[rng.integers(rows, size=(400, rows))].mean(axis=1)
        drawn = by_document[rng.integers(60, size=(400, 60))].mean(axis=1)
        seeds = scores.mean(axis=1)
        uncorrected = drawn + (seeds - seeds.mean())[rng.integers(3, size=(400, 3))].mean(axis=1)
        for name, draws in (
            ("rows", drawn_rows),
            ("documents", drawn),
            ("uncorrected", uncorrected),
        ):
            low, high = np.quantile(draws, [0.025, 0.975])
            hits[name] += low <= 20 <= high
        bootstrap = Bootstrap(world.documents, 3, replicates=400, seed=number)
        found = bootstrap.interval(bootstrap.replicates(MSE, errors_of(scores), np.zeros(rows)))
        hits["ours"] += found.low <= 20 <= found.high
    coverage = {name: count / studies for name, count in hits.items()}
    assert coverage["rows"] < coverage["documents"] < coverage["uncorrected"] < coverage["ours"]
    assert coverage["documents"] < 0.85
    assert coverage["uncorrected"] < 0.92
    assert coverage["ours"] > 0.91


def test_the_gain_of_equals_is_found_significant_as_often_as_promised():
    world = Simulation(60, 3, 3, 1.0, 0.2, 0.3)
    labels = np.zeros(len(world.documents))
    found = []
    for number in range(300):
        bootstrap = Bootstrap(world.documents, 3, replicates=400, seed=number)
        shared = world.draw()
        a, b = (
            bootstrap.replicates(MSE, errors_of(shared + 0.1 * (world.draw() - 20)), labels)
            for _ in range(2)
        )
        found.append(bootstrap.gain(a, b).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_one_seed_and_documents_of_one_row_give_the_textbook_standard_error():
    rng = np.random.default_rng(0)
    rows = 400
    correct = rng.random(rows) < 0.8
    bootstrap = Bootstrap(range(rows), 1, replicates=20_000)
    found = bootstrap.interval(
        bootstrap.replicates(ACCURACY, right_where(correct), np.zeros(rows, dtype=int))
    )
    share = correct.mean()
    error = np.sqrt(share * (1 - share) / rows)
    assert found.value == pytest.approx(share)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.03)


def test_documents_that_repeat_one_row_are_one_observation():
    rng = np.random.default_rng(0)
    correct = rng.random(100) < 0.7
    widths = []
    for copies in (1, 5):
        bootstrap = Bootstrap(np.repeat(range(100), copies), 1)
        found = bootstrap.interval(
            bootstrap.replicates(
                ACCURACY,
                right_where(np.repeat(correct, copies)),
                np.zeros(100 * copies, dtype=int),
            )
        )
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(widths[1])


def test_when_seeds_decide_the_interval_is_students():
    # Three seeds and documents without chance: mean ± 4.30 standard errors.
    levels = np.array([18.0, 20.0, 22.5])
    scores = np.repeat(levels[:, None], 50, axis=1)
    bootstrap = Bootstrap(range(50), 3, replicates=20_000)
    found = bootstrap.interval(bootstrap.replicates(MSE, errors_of(scores), np.zeros(50)))
    half = stats.t.ppf(0.975, 2) * levels.std(ddof=1) / np.sqrt(3)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.12)


def test_identical_predictions_gain_nothing():
    rng = np.random.default_rng(0)
    predictions = rng.dirichlet([1, 1], size=(3, 40))
    bootstrap = Bootstrap(rng.integers(10, size=40), 3, replicates=200)
    labels = rng.integers(2, size=40)
    one = bootstrap.replicates(METRICS["macro_f1"], predictions, labels)
    other = bootstrap.replicates(METRICS["macro_f1"], predictions.copy(), labels)
    assert bootstrap.gain(one, other) == Gain(0.0, 0.0, 0.0, 1.0)


def test_pairing_sees_what_two_intervals_would_hide():
    rng = np.random.default_rng(0)
    document = np.repeat(range(50), 4)
    shared = rng.normal(20, 3, size=50)[document]
    better, worse = (
        errors_of(shared + gap + 0.1 * rng.normal(size=(3, 200))) for gap in (0.0, 0.3)
    )
    bootstrap = Bootstrap(document, 3)
    a, b = (bootstrap.replicates(MSE, scores, np.zeros(200)) for scores in (better, worse))
    assert bootstrap.interval(a).high > bootstrap.interval(b).low
    gain = bootstrap.gain(a, b)
    assert 0.2 < gain.low < 0.3 < gain.high < 0.4
    assert gain.p < 0.01


def test_a_gain_is_positive_when_better_and_turns_with_its_sides():
    rng = np.random.default_rng(0)
    labels = np.zeros(300, dtype=int)
    good, bad = (right_where(rng.random((3, 300)) < share) for share in (0.9, 0.6))
    bootstrap = Bootstrap(range(300), 3)
    for metric in (ACCURACY, METRICS["log_loss"]):
        a, b = (bootstrap.replicates(metric, x, labels) for x in (good, bad))
        gain, loss = bootstrap.gain(a, b), bootstrap.gain(b, a)
        assert gain.value > 0
        assert gain.low > 0
        assert not gain.negative
        assert loss.negative
        assert loss.value == pytest.approx(-gain.value)
        assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low), abs=0.02)
        assert gain.p == pytest.approx(2 / 2001)


def right_on_more(k, seeds=3, rows=300):
    """A baseline and a recipe that is right on k more of its rows, and equal on all others."""
    baseline = np.random.default_rng(0).random((seeds, rows)) < 0.8
    baseline[:, :k] = False
    recipe = baseline.copy()
    recipe[:, :k] = True
    return recipe, baseline


@pytest.mark.parametrize("k", range(1, 7))
def test_a_few_documents_show_no_more_than_a_sign_test(k):
    recipe, baseline = right_on_more(k)
    labels = np.zeros(300, dtype=int)
    bootstrap = Bootstrap(range(300), 3)
    a, b = (bootstrap.replicates(ACCURACY, right_where(x), labels) for x in (recipe, baseline))
    assert a.differing(b) == b.differing(a) == k
    gain, loss = bootstrap.gain(a, b), bootstrap.gain(b, a)
    exact = stats.binomtest(k, k).pvalue
    for found in (gain, loss):
        assert found.p >= exact
        assert (found.p > 0.05) == (found.low <= 0 <= found.high)
    assert gain.value == pytest.approx(k / 300)
    # Six documents on one side are the fewest that a sign test finds at 5 %.
    assert (gain.low > 0) == loss.negative == (k == 6)


def test_documents_that_differ_are_counted_whatever_their_rows_and_seeds():
    recipe, baseline = right_on_more(8)
    labels = np.zeros(300, dtype=int)
    for documents, differing in ((range(300), 8), (np.repeat(range(75), 4), 2)):
        bootstrap = Bootstrap(documents, 3)
        a, b = (bootstrap.replicates(ACCURACY, right_where(x), labels) for x in (recipe, baseline))
        assert a.differing(b) == differing
    # Other seeds in another order are no other documents.
    turned = bootstrap.replicates(ACCURACY, right_where(recipe[::-1]), labels)
    assert a.differing(turned) == 0
    assert bootstrap.gain(a, turned).p == 1.0
    rows = np.random.default_rng(1).random(300)
    one, three = (
        bootstrap.replicates(MSE, errors_of(np.tile(rows, (seeds, 1))), labels) for seeds in (1, 3)
    )
    assert one.differing(three) == 0


def test_the_interval_and_the_p_value_agree_at_any_confidence():
    labels = np.zeros(300, dtype=int)
    for confidence in (0.5, 0.8, 0.9, 0.99):
        bootstrap = Bootstrap(range(300), 3, replicates=999, confidence=confidence)
        for k in range(1, 9):
            a, b = (
                bootstrap.replicates(ACCURACY, right_where(x), labels) for x in right_on_more(k)
            )
            gain = bootstrap.gain(a, b)
            assert (gain.p > 1 - confidence) == (gain.low <= 0)


def test_a_difference_on_many_documents_is_the_bootstraps_own():
    recipe, baseline = right_on_more(40)
    labels = np.zeros(300, dtype=int)
    bootstrap = Bootstrap(range(300), 3)
    a, b = (bootstrap.replicates(ACCURACY, right_where(x), labels) for x in (recipe, baseline))
    gain = bootstrap.gain(a, b)
    assert gain.p == 2 / 2001
    # Forty of 300 rows in every seed: the interval is that of a share.
    half = 1.96 * np.sqrt(40 / 300 * 260 / 300 / 300)
    assert (gain.low, gain.high) == pytest.approx((40 / 300 - half, 40 / 300 + half), abs=0.006)


def test_recipes_may_have_different_numbers_of_seeds():
    rng = np.random.default_rng(0)
    document = np.arange(200)
    shared = rng.normal(20, 1, size=200)
    noisy = shared + np.array([[-0.5], [0.0], [0.6]])
    bootstrap = Bootstrap(document, 3, replicates=4000)
    many = bootstrap.replicates(MSE, errors_of(noisy), np.zeros(200))
    two = bootstrap.replicates(MSE, errors_of(noisy[:2]), np.zeros(200))
    once = bootstrap.replicates(MSE, errors_of(shared), np.zeros(200))
    alone = bootstrap.gain(many, once)
    # Documents cancel: what is left is the chance of three seeds, as Student has it.
    half = stats.t.ppf(0.975, 2) * np.std([-0.5, 0.0, 0.6], ddof=1) / np.sqrt(3)
    assert alone.value == pytest.approx(-0.1 / 3)
    assert (alone.high - alone.low) / 2 == pytest.approx(half, rel=0.15)
    mixed = bootstrap.gain(many, two)
    assert mixed.low < mixed.value < mixed.high
    # One seed on both sides: documents alone, and here they cancel entirely.
    assert bootstrap.gain(once, once) == Gain(0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "mcc", "ece", "log_loss"])
def test_the_order_of_rows_decides_nothing(name):
    rng = np.random.default_rng(0)
    document = np.array([f"d{i}" for i in rng.integers(30, size=120)])
    predictions, labels = rng.dirichlet([1, 1, 1], size=(3, 120)), rng.integers(3, size=120)
    order = rng.permutation(120)
    found = []
    for rows in (np.arange(120), order):
        bootstrap = Bootstrap(document[rows].tolist(), 3, replicates=300)
        replicates = bootstrap.replicates(METRICS[name], predictions[:, rows], labels[rows])
        interval = bootstrap.interval(replicates)
        found.append([interval.value, interval.low, interval.high])
    assert found[0] == pytest.approx(found[1], abs=1e-9)


def test_another_recipe_changes_no_recipe():
    rng = np.random.default_rng(0)
    predictions, labels = rng.dirichlet([1, 1], size=(4, 3, 50)), rng.integers(2, size=50)
    first, second = (Bootstrap(range(50), 3, replicates=100, seed=5) for _ in range(2))
    for other in predictions[1:]:
        second.interval(second.replicates(ACCURACY, other, labels))
    one, two = (b.interval(b.replicates(ACCURACY, predictions[0], labels)) for b in (first, second))
    assert one == two
    third = Bootstrap(range(50), 3, replicates=100, seed=6)
    assert third.interval(third.replicates(ACCURACY, predictions[0], labels)) != one


DRAWN = {"detection": detection, "segmentation": segmentation}


@pytest.mark.parametrize("name", METRICS)
def test_the_value_is_the_mean_over_seeds_and_lies_in_its_interval(name):
    metric = METRICS[name]
    rng = np.random.default_rng(0)
    if metric.kind == "regression":
        labels = rng.normal(size=60)
        predictions = labels[None, :, None] + rng.normal(size=(3, 60, 1))
    elif metric.kind == "multilabel":
        predictions, labels = rng.random((3, 60, 4)), rng.integers(2, size=(60, 4))
    elif metric.kind == "matching":
        halves = rng.normal(size=(3, 60, 2, 4)) + 2 * np.eye(60, 4)[:, None]
        halves /= np.linalg.norm(halves, axis=-1, keepdims=True)
        predictions, labels = halves.reshape(3, 60, 8), np.arange(60)
    elif metric.kind in DRAWN:
        one, labels = DRAWN[metric.kind](0, 60)
        predictions = np.stack([one, np.roll(one, 1, axis=0), one])
    else:
        predictions, labels = rng.dirichlet([1, 1, 1], size=(3, 60)), rng.integers(3, size=60)
    bootstrap = Bootstrap(rng.integers(20, size=60), 3, replicates=300)
    replicates = bootstrap.replicates(metric, predictions, labels)
    assert replicates.value == pytest.approx(np.mean([metric(p, labels) for p in predictions]))
    found = bootstrap.interval(replicates)
    assert found.value == replicates.value
    assert metric.bounds[0] <= found.low < found.value < found.high <= metric.bounds[1]
    repeated = np.stack([labels] * 3)
    assert bootstrap.interval(bootstrap.replicates(metric, predictions, repeated)) == found


def test_replicates_are_the_metric_of_repeated_documents():
    # The weights are not public, but two documents leave three possible samples.
    labels = np.array([0, 0, 1, 0])
    predictions = np.array([[[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]]])
    document = ["a", "a", "b", "b"]
    bootstrap = Bootstrap(document, 1, replicates=500)
    found = bootstrap.replicates(METRICS["macro_f1"], predictions, labels).resampled
    metric = METRICS["macro_f1"]
    possible = [
        metric(predictions[0][rows], labels[rows])
        for rows in ([0, 1, 0, 1], [0, 1, 2, 3], [2, 3, 2, 3])
    ]
    assert {round(x, 9) for x in found} == {round(x, 9) for x in possible}
    assert np.mean(np.isclose(found, possible[1])) == pytest.approx(0.5, abs=0.1)


def test_a_calibration_error_that_resampling_inflates_stays_inside_its_interval():
    # Calibrated predictions: every resample reads higher than the sample.
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=400)
    labels = (rng.random(400) > confidence).astype(int)
    predictions = np.stack([confidence, 1 - confidence], axis=1)[None]
    bootstrap = Bootstrap(range(400), 1)
    replicates = bootstrap.replicates(METRICS["ece"], predictions, labels)
    assert np.mean(replicates.resampled > replicates.value) > 0.9
    found = bootstrap.interval(replicates)
    assert found.low < found.value < found.high


def test_a_score_does_not_leave_its_bounds():
    labels = np.zeros(20, dtype=int)
    correct = np.ones((3, 20), dtype=bool)
    correct[0, :4] = False
    bootstrap = Bootstrap(range(20), 3)
    found = bootstrap.interval(bootstrap.replicates(ACCURACY, right_where(correct), labels))
    assert found.high <= 1.0


def test_a_whole_study_takes_seconds():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=1200)
    predictions = rng.dirichlet([1, 1], size=(30, 3, 1200))
    start = time.process_time()
    bootstrap = Bootstrap(range(1200), 3)
    found = [
        bootstrap.replicates(METRICS[name], recipe, labels)
        for recipe in predictions
        for name in ("accuracy", "macro_f1")
    ]
    for replicates in found[::2]:
        bootstrap.interval(replicates)
        bootstrap.gain(replicates, found[0])
    # Measured: 0.5 s of processor time.
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("documents", "message"),
    [(["a", "a"], "1 different"), (["a", None], "row 1 has none"), ([1.0, np.nan], "row 1")],
)
def test_documents_that_cannot_be_drawn_are_refused(documents, message):
    with pytest.raises(DataError, match=message):
        Bootstrap(documents, 1)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"replicates": 0}, {"confidence": 1.0}])
def test_senseless_numbers_are_refused(options):
    with pytest.raises(ValueError, match="expected seeds"):
        Bootstrap(range(5), **{"seeds": 1, **options})


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        (np.full((3, 5, 2), 0.5), np.zeros(6, dtype=int)),
        (np.full((3, 6, 2), 0.5), np.zeros(5, dtype=int)),
        (np.full((4, 5, 2), 0.5), np.zeros(5, dtype=int)),
        (np.full((5, 2), 0.5), np.zeros(5, dtype=int)),
        (np.full((3, 5, 2), 0.5), np.zeros((2, 5), dtype=int)),
        (np.full((3, 5, 2), np.nan), np.zeros(5, dtype=int)),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predictions, labels):
    with pytest.raises(DataError):
        Bootstrap(range(5), 3).replicates(ACCURACY, predictions, labels)


def test_gains_across_metrics_are_refused():
    bootstrap = Bootstrap(range(5), 1, replicates=10)
    predictions, labels = np.full((1, 5, 2), 0.5), np.zeros(5, dtype=int)
    a, b = (bootstrap.replicates(METRICS[n], predictions, labels) for n in ("accuracy", "mcc"))
    with pytest.raises(ValueError, match="accuracy and mcc"):
        bootstrap.gain(a, b)


def test_holm_by_hand():
    # Sorted: 0.005·4 = 0.02, 0.01·3 = 0.03, 0.03·2 = 0.06, 0.04·1 = 0.04 but not below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])
    assert holm([]).shape == (0,)


def test_holm_leaves_out_what_was_not_compared():
    found = holm([0.01, np.nan, 0.03])
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx([0.02, 0.03])


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    given_values, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= given_values).all()
    assert (adjusted <= np.minimum(1, given_values * len(p_values)) + 1e-12).all()
    order = np.argsort(given_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
