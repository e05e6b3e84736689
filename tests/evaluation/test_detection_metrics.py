"""Average precision and IoU from sums of rows, against slow versions of the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from transfuse.errors import DataError
from transfuse.evaluation import METRICS, Bootstrap
from transfuse.evaluation.scenes import BINS, THRESHOLDS, box_ious, box_sums

CLASSES = 3


def scene(
    rng: np.random.Generator, rows: int, queries: int = 6, boxes: int = 4, *, skill: float = 0.7
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries that find true boxes more or less, and the true boxes."""
    truth = np.zeros((rows, boxes, 5))
    truth[..., 0] = -1
    said = np.zeros((rows, queries, CLASSES + 5))
    for row in range(rows):
        count = int(rng.integers(0, boxes + 1))
        truth[row, :count, 0] = rng.integers(0, CLASSES, count)
        truth[row, :count, 1:3] = rng.uniform(0.2, 0.8, (count, 2))
        truth[row, :count, 3:] = rng.uniform(0.1, 0.4, (count, 2))
        for query in range(queries):
            logits = rng.normal(0, 1, CLASSES + 1)
            box = rng.uniform(0.1, 0.9, 4)
            if query < count and rng.random() < skill:
                logits[int(truth[row, query, 0])] += 2
                box = truth[row, query, 1:] * rng.uniform(0.8, 1.2, 4)
            chances = np.exp(logits) / np.exp(logits).sum()
            said[row, query] = [*chances, *box.clip(0, 1)]
    return said, truth


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes, side by side on each axis."""
    shared = 1.0
    for axis in (0, 1):
        low = max(a[axis] - a[axis + 2] / 2, b[axis] - b[axis + 2] / 2)
        high = min(a[axis] + a[axis + 2] / 2, b[axis] + b[axis + 2] / 2)
        shared *= max(0.0, high - low)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union > 0 else 0.0


def slow_precision(
    said: NDArray[np.float64], truth: NDArray[np.float64], threshold: float
) -> float:
    """mAP by COCO's definition: all detections of a class in one list by falling confidence."""
    found = []
    for kind in range(CLASSES):
        listed: list[tuple[float, bool]] = []
        for queries, boxes in zip(said, truth, strict=True):
            real = [box[1:] for box in boxes if box[0] == kind]
            free = [True] * len(real)
            own = [query for query in queries if query[:CLASSES].argmax() == kind]
            own.sort(key=lambda query: -query[kind])
            for query in own:
                reach = [overlap(query[-4:], box) * ok for box, ok in zip(real, free, strict=True)]
                best = int(np.argmax(reach)) if reach else -1
                right = best >= 0 and reach[best] >= threshold
                if right:
                    free[best] = False
                listed.append((float(query[kind]), right))
        count = int((truth[..., 0] == kind).sum())
        if not count:
            continue
        points = []
        for level in sorted({sure for sure, _ in listed}, reverse=True):
            upto = [right for sure, right in listed if sure >= level]
            points.append((sum(upto) / count, sum(upto) / len(upto)))
        found.append(
            np.mean(
                [
                    max(
                        (precision for recall, precision in points if recall >= at / 100), default=0
                    )
                    for at in range(101)
                ]
            )
        )
    return float(np.mean(found)) if found else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_the_definition(seed: int) -> None:
    said, truth = scene(np.random.default_rng(seed), 30)
    for name, threshold in (("map50", 0.5), ("map75", 0.75)):
        exact = slow_precision(said, truth, threshold)
        assert METRICS[name](said, truth) == pytest.approx(exact, abs=1e-12)
    every = np.mean([slow_precision(said, truth, each) for each in THRESHOLDS])
    assert METRICS["map"](said, truth) == pytest.approx(every, abs=1e-12)


@pytest.mark.parametrize("shift", [-6.0, 0.0, 9.0])
def test_bins_of_confidence_change_little(shift: float) -> None:
    # Whether a model is sure of all that it finds or of nothing: only the order counts.
    said, truth = scene(np.random.default_rng(0), 250, skill=0.9)
    assert np.bincount((truth[..., 0] + 1).astype(int).ravel())[1:].min() > BINS
    odds = said[..., :CLASSES] * np.exp(shift)
    said[..., : CLASSES + 1] = np.concatenate([odds, said[..., CLASSES : CLASSES + 1]], axis=2)
    said[..., : CLASSES + 1] /= said[..., : CLASSES + 1].sum(axis=2, keepdims=True)
    exact = slow_precision(said, truth, 0.5)
    assert METRICS["map50"](said, truth) == pytest.approx(exact, abs=0.004)


def test_of_each_class_a_hundred_detections_count() -> None:
    truth = np.array([[[0, 0.5, 0.5, 0.4, 0.4]]])
    wrong = [[0.9, 0.1, 0.1, 0.1, 0.1, 0.1]]
    right = [[0.5, 0.5, 0.5, 0.5, 0.4, 0.4]]
    within, beyond = (np.array([wrong * count + right]) for count in (99, 100))
    assert METRICS["map50"](within, truth) == pytest.approx(0.01)
    assert METRICS["map50"](beyond, truth) == 0.0


def test_perfect_boxes_are_worth_one_and_none_are_worth_nothing() -> None:
    rng = np.random.default_rng(0)
    _, truth = scene(rng, 20)
    said = np.zeros((20, 4, CLASSES + 5))
    said[..., -5] = 1.0
    for row, boxes in enumerate(truth):
        for place, box in enumerate(boxes):
            if box[0] >= 0:
                said[row, place, -5] = 0.0
                said[row, place, int(box[0])] = 1.0
                said[row, place, -4:] = box[1:]
    assert METRICS["map"](said, truth) == pytest.approx(1.0)
    nothing = np.zeros_like(said)
    nothing[..., -5] = 1.0
    assert METRICS["map"](nothing, truth) == 0.0


def test_a_box_is_found_once() -> None:
    truth = np.array([[[0, 0.5, 0.5, 0.4, 0.4]]])
    once = np.array([[[0.9, 0.1, 0.5, 0.5, 0.4, 0.4], [0.05, 0.95, 0, 0, 0.1, 0.1]]])
    twice = np.array([[[0.9, 0.1, 0.5, 0.5, 0.4, 0.4], [0.8, 0.2, 0.5, 0.5, 0.4, 0.4]]])
    for said, right in ((once, 1), (twice, 1)):
        sums = box_sums(said, truth, thresholds=(0.5,))[0]
        assert sums[:BINS].sum() == right
        assert sums[BINS : 2 * BINS].sum() == 2
    # The second of two on one box is wrong, but less sure than the right one.
    assert METRICS["map50"](twice, truth) == 1.0


def test_what_lies_in_a_crowd_does_not_count() -> None:
    truth = np.array([[[0, 0.2, 0.2, 0.2, 0.2], [-2, 0.7, 0.7, 0.5, 0.5]]])
    said = np.array([[[0.9, 0.1, 0.7, 0.7, 0.2, 0.2], [0.6, 0.4, 0.2, 0.2, 0.2, 0.2]]])
    assert METRICS["map50"](said, truth) == 1.0
    truth[0, 1, 0] = -1
    assert METRICS["map50"](said, truth) == 0.5


@given(st.integers(0, 2**31))
def test_overlap_is_symmetric_and_one_only_for_itself(seed: int) -> None:
    boxes = np.random.default_rng(seed).uniform(0.05, 0.9, (5, 4))
    found = box_ious(boxes, boxes)
    assert found == pytest.approx(found.T)
    assert np.diag(found) == pytest.approx(np.ones(5))
    assert found[0, 1] == pytest.approx(overlap(boxes[0], boxes[1]))


@given(st.integers(0, 2**31), st.integers(2, 5))
def test_iou_of_masks_is_that_of_the_definition(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(classes), (7, 20)).transpose(0, 2, 1)
    true = rng.integers(0, classes, (7, 20))
    true[rng.random(true.shape) < 0.2] = 255
    said, known = chances.argmax(1), true != 255
    shares = []
    for kind in range(classes):
        one, other = (said == kind) & known, (true == kind) & known
        if (one | other).any():
            shares.append((one & other).sum() / (one | other).sum())
    assert METRICS["miou"](chances, true) == pytest.approx(np.mean(shares))
    assert METRICS["pixel_accuracy"](chances, true) == pytest.approx((said == true)[known].mean())


def test_intervals_come_with_the_metrics() -> None:
    rng = np.random.default_rng(5)
    good, truth = scene(rng, 60, skill=1.0)
    bad = good.copy()
    bad[:, ::2, -4:] = rng.uniform(0, 1, bad[:, ::2, -4:].shape)
    bootstrap = Bootstrap(range(60), seeds=1, replicates=200)
    a, b = (bootstrap.replicates(METRICS["map50"], each[None], truth) for each in (good, bad))
    found = bootstrap.interval(a)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(METRICS["map50"](good, truth))
    assert bootstrap.gain(a, b).low > 0


def test_arrays_of_another_kind_are_refused() -> None:
    said, truth = scene(np.random.default_rng(0), 3)
    with pytest.raises(DataError, match="queries, classes"):
        METRICS["map"](said[0], truth)
    with pytest.raises(DataError, match="class that has no probability"):
        METRICS["map"](said, np.full_like(truth, 7))
    with pytest.raises(DataError, match="pixels"):
        METRICS["miou"](said[0], truth)
    with pytest.raises(DataError, match="known classes"):
        METRICS["miou"](np.full((1, 2, 4), 0.5), np.full((1, 4), 2))
