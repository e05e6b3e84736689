"""Every metric against scikit-learn, and the form that the bootstrap relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from metric_inputs import detection, matching, segmentation
from transfuse.errors import DataError
from transfuse.evaluation import METRICS, confusion, evaluate, metric_named

seeds = st.integers(0, 2**32 - 1)


def classification(seed, classes, rows):
    """Probabilities, some of them exactly 0 or 1, and labels that may miss classes."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=rows)
    sure = rng.random(rows) < 0.1
    probabilities[sure] = np.eye(classes)[rng.integers(classes, size=sure.sum())]
    allowed = rng.choice(classes, size=rng.integers(1, classes + 1), replace=False)
    return probabilities, rng.choice(allowed, size=rows)


def multilabel(seed, classes, rows):
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, classes)) < rng.random(classes)).astype(int)
    return rng.random((rows, classes)), labels


def regression(seed, rows):
    rng = np.random.default_rng(seed)
    # Few different values, so that ties occur; sometimes a constant side.
    return rng.integers(0, rng.integers(1, 9), (rows, 1)) / 4 + 100.0, rng.integers(
        0, rng.integers(1, 9), rows
    ) / 2 + 100.0


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 5), st.integers(1, 40))
def test_classification_metrics_equal_scikit_learn(seed, classes, rows):
    probabilities, labels = classification(seed, classes, rows)
    predicted = probabilities.argmax(axis=1)
    found = evaluate(
        ["accuracy", "macro_precision", "macro_recall", "macro_f1", "mcc", "log_loss", "brier"],
        probabilities,
        labels,
    )
    macro = {"average": "macro", "zero_division": 0}
    one_hot = np.eye(classes)[labels]
    one_class = len({*labels, *predicted}) == 1
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "macro_precision": sk.precision_score(labels, predicted, **macro),
        "macro_recall": sk.recall_score(labels, predicted, **macro),
        "macro_f1": sk.f1_score(labels, predicted, **macro),
        "mcc": 0.0 if one_class else sk.matthews_corrcoef(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities, labels=range(classes)),
        "brier": np.square(probabilities - one_hot).sum(axis=1).mean(),
    }
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 40))
def test_multilabel_metrics_equal_scikit_learn(seed, classes, rows):
    probabilities, labels = multilabel(seed, classes, rows)
    predicted = (probabilities >= 0.5).astype(int)
    found = evaluate(
        ["micro_f1", "label_macro_f1", "subset_accuracy", "hamming_loss"], probabilities, labels
    )
    each = [
        sk.f1_score(labels[:, c], predicted[:, c])
        for c in range(classes)
        if (labels + predicted)[:, c].any()
    ]
    hit, either = (labels * predicted).sum(), (labels + predicted).sum()
    expected = {
        "micro_f1": 2 * hit / either if either else 0.0,
        "label_macro_f1": np.mean(each) if each else 0.0,
        "subset_accuracy": (labels == predicted).all(axis=1).mean(),
        "hamming_loss": (labels != predicted).mean(),
    }
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 40))
def test_regression_metrics_equal_scikit_learn_and_scipy(seed, rows):
    predictions, labels = regression(seed, rows)
    flat = predictions[:, 0]
    constant = np.ptp(flat) == 0 or np.ptp(labels) == 0
    names = ["mse", "rmse", "mae", "r2", "pearson", "spearman"]
    expected = {
        "mse": sk.mean_squared_error(labels, flat),
        "rmse": sk.root_mean_squared_error(labels, flat),
        "mae": sk.mean_absolute_error(labels, flat),
        "r2": sk.r2_score(labels, flat),
        "pearson": 0.0 if constant else stats.pearsonr(flat, labels).statistic,
        "spearman": 0.0 if constant else stats.spearmanr(flat, labels).statistic,
    }
    assert evaluate(names, predictions, labels) == pytest.approx(expected, abs=1e-9)


def test_a_shift_far_from_zero_leaves_r2_and_correlation_alone():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=200)
    predictions = (labels + rng.normal(size=200))[:, None]
    near = evaluate(["r2", "pearson"], predictions, labels)
    far = evaluate(["r2", "pearson"], predictions + 1e7, labels + 1e7)
    assert far == pytest.approx(near, abs=1e-6)


def test_calibration_error_of_a_case_worked_by_hand():
    # Bins of 1/15: 0.61 and 0.65 fall in (0.600, 0.667], 0.9 in (0.867, 0.933].
    top = np.array([0.61, 0.65, 0.9, 0.9])
    labels = np.array([0, 1, 0, 0])
    gaps = [abs(0.61 + 0.65 - 1) / 4, abs(1.8 - 2) / 4]
    assert METRICS["ece"](np.stack([top, 1 - top], axis=1), labels) == pytest.approx(sum(gaps))


def any_input(metric, seed, rows):
    if metric.kind == "detection":
        return detection(seed, rows)
    if metric.kind == "segmentation":
        return segmentation(seed, rows)
    if metric.kind == "classification":
        return classification(seed, 3, rows)
    if metric.kind == "matching":
        return matching(seed, rows)
    return multilabel(seed, 3, rows) if metric.kind == "multilabel" else regression(seed, rows)


# Ranks belong to the sample: repeated rows change Spearman's and those of retrieval.
@pytest.mark.parametrize(
    "metric",
    [m for m in METRICS.values() if m.name != "spearman" and m.kind != "matching"],
    ids=lambda m: m.name,
)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, rows=st.integers(1, 12))
def test_weights_of_rows_mean_repeated_rows(metric, seed, rows):
    predictions, labels = any_input(metric, seed, rows)
    weights = np.random.default_rng(seed).integers(0, 3, rows)
    weights[0] = 1
    repeated = np.repeat(np.arange(rows), weights)
    weighted = metric.value(weights @ metric.rows(predictions, labels))
    assert weighted == pytest.approx(metric(predictions[repeated], labels[repeated]), abs=1e-7)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@settings(max_examples=25, deadline=None)
@given(seed=seeds, rows=st.integers(1, 12))
def test_every_metric_is_finite_and_within_its_bounds_whatever_the_weights(metric, seed, rows):
    sums = metric.rows(*any_input(metric, seed, rows))
    weights = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=20)
    low, high = metric.bounds
    values = metric.value(weights @ sums)
    assert values.shape == (20,)
    assert np.isfinite(values).all()
    assert (values >= low - 1e-9).all()
    assert (values <= high + 1e-9).all()


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_perfect_predictions_have_the_best_value(metric):
    if metric.kind == "classification":
        predictions, labels = np.eye(3), np.arange(3)
    elif metric.kind == "multilabel":
        predictions, labels = np.eye(3), np.eye(3)
    elif metric.kind == "detection":
        labels = np.array([[[0, 0.5, 0.5, 0.2, 0.2], [2, 0.2, 0.2, 0.1, 0.1]]])
        predictions = np.concatenate([np.eye(4)[[0, 2]][None], labels[..., 1:]], axis=2)
    elif metric.kind == "segmentation":
        predictions, labels = np.eye(3)[None], np.arange(3)[None]
    elif metric.kind == "matching":
        predictions, labels = np.tile(np.eye(3), 2), np.arange(3)
    else:
        predictions, labels = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 4.0])
    best = metric.bounds[1 if metric.higher_is_better else 0]
    assert metric(predictions, labels) == pytest.approx(best, abs=1e-12)


def test_confusion_counts_true_by_row_and_predicted_by_column():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    assert confusion(probabilities, [0, 0, 1, 1], 2).tolist() == [[1, 1], [1, 1]]
    assert confusion(probabilities, [0, 0, 0, 0], 2).tolist() == [[2, 2], [0, 0]]
    with pytest.raises(DataError, match="3 classes"):
        confusion(probabilities, [0, 0, 1, 1], 3)


@pytest.mark.parametrize(
    ("name", "predictions", "labels", "message"),
    [
        ("accuracy", [[2.0, -1.0]], [0], "probabilities"),
        ("accuracy", [[0.9, 0.9]], [0], "row 0 sums to 1.8"),
        ("accuracy", [[0.5, 0.5], [np.nan, 1.0]], [0, 1], "row 1 is not finite"),
        ("accuracy", [[0.5, 0.5]], [2], "row 0 has label 2"),
        ("accuracy", [[0.5, 0.5]], [-1], "row 0 has label -1"),
        ("accuracy", [[0.5, 0.5]], [0.5], "row 0 has label 0.5"),
        ("accuracy", [[0.5, 0.5]], ["good"], "numbers"),
        ("accuracy", [[0.5, 0.5]], [0, 1], "shape"),
        ("accuracy", np.empty((0, 2)), np.empty(0), "no rows"),
        ("accuracy", [0.5, 0.5], [0, 1], "classes"),
        ("micro_f1", [[0.5, 0.5]], [[0, 2]], "0 or 1"),
        ("micro_f1", [[0.5, 0.5]], [0], "shape"),
        ("mse", [[1.0, 2.0]], [1.0], "shape"),
        ("mse", [[1.0]], [np.inf], "row 0 is not finite"),
        ("acuracy", [[1.0]], [1.0], "unknown metric 'acuracy'"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(name, predictions, labels, message):
    with pytest.raises(DataError, match=message):
        evaluate([name], predictions, labels)


def test_inputs_are_not_modified():
    for metric in METRICS.values():
        predictions, labels = any_input(metric, 3, 10)
        before = predictions.copy(), labels.copy()
        metric(predictions, labels)
        assert (predictions == before[0]).all()
        assert (labels == before[1]).all()


def test_metrics_show_themselves_in_their_unit():
    assert metric_named("accuracy").show(0.8125) == "81.2%"
    assert metric_named("log_loss").show(0.5) == "0.500"
