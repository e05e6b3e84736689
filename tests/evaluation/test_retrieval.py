"""Recall and rank of retrieval: against a slow count, and under what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.errors import DataError
from transfuse.evaluation import METRICS, Bootstrap, evaluate
from transfuse.evaluation.retrieval import ranks

NAMES = [name for name, metric in METRICS.items() if metric.kind == "matching"]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def made(rows: int, width: int, items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose items have one picture each, with captions near it."""
    rng = np.random.default_rng(seed)
    number = np.concatenate([np.arange(items), rng.integers(0, items, rows - items)])
    pictures = unit(rng.normal(size=(items, width)))[number]
    captions = unit(pictures + rng.normal(size=pictures.shape))
    return np.concatenate([pictures, captions], 1), number


def slow(vectors: np.ndarray, items: np.ndarray) -> tuple[list[float], list[float]]:
    """Rank by rank, one query at a time."""
    pictures, captions = np.split(vectors, 2, axis=1)
    by_caption, by_picture = [], []
    for row, item in enumerate(items):
        best = {
            i: max(captions[row] @ pictures[k] for k in np.flatnonzero(items == i)) for i in items
        }
        by_caption.append(1.0 + sum(best[i] > best[item] for i in set(items) - {item}))
        right = max(pictures[row] @ captions[k] for k in np.flatnonzero(items == item))
        others = captions[items != item]
        by_picture.append(1.0 + sum(float(pictures[row] @ each) > right for each in others))
    return by_caption, by_picture


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 20), st.integers(0, 1000))
def test_ranks_are_those_of_a_slow_count(items: int, more: int, seed: int) -> None:
    vectors, number = made(items + more, 6, items, seed)
    by_caption, by_picture = ranks(vectors, number)
    wanted = slow(vectors, number)
    assert by_caption.tolist() == wanted[0]
    assert by_picture.tolist() == wanted[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_neither_the_order_of_rows_nor_the_names_of_items_matter(seed: int) -> None:
    vectors, number = made(30, 6, 9, seed)
    rng = np.random.default_rng(seed)
    order, renamed = rng.permutation(30), rng.permutation(50)[:9]
    assert evaluate(NAMES, vectors, number) == pytest.approx(
        evaluate(NAMES, vectors[order], renamed[number[order]])
    )


def test_what_pictures_reach_is_a_mean_over_pictures_and_not_over_captions() -> None:
    # The first picture finds its caption, the second does not, whatever the number of captions.
    pictures = np.eye(3)[[0, 0, 0, 1]]
    captions = np.eye(3)[[0, 0, 0, 2]]
    found = evaluate(NAMES, np.concatenate([pictures, captions], 1), np.array([4, 4, 4, 7]))
    assert found["image_to_text_r1"] == 0.5
    assert found["text_to_image_r1"] == 0.75


def test_vectors_that_are_all_alike_find_nothing() -> None:
    vectors = np.tile(np.array([[1.0, 0.0, 1.0, 0.0]]), (100, 1))
    found = evaluate(NAMES, vectors, np.arange(100))
    assert found["mean_recall"] == 0.0
    assert found["text_to_image_median_rank"] == 51


def test_random_vectors_are_at_chance_and_perfect_ones_at_the_top() -> None:
    rng = np.random.default_rng(0)
    pictures = unit(rng.normal(size=(400, 32)))
    captions = unit(rng.normal(size=(400, 32)))
    items = np.arange(400)
    chance = evaluate(NAMES, np.concatenate([pictures, captions], 1), items)
    assert chance["text_to_image_r10"] == pytest.approx(10 / 400, abs=0.02)
    assert chance["image_to_text_median_rank"] == pytest.approx(200, rel=0.2)
    perfect = evaluate(NAMES, np.concatenate([pictures, pictures], 1), items)
    assert {value for name, value in perfect.items()} == {1.0}


def test_the_median_is_exact_up_to_100() -> None:
    vectors, number = made(150, 3, 150, 1)
    by_caption, _ = ranks(vectors, number)
    exact = sorted(by_caption)[math.ceil(len(by_caption) / 2) - 1]
    assert exact <= 100
    assert METRICS["text_to_image_median_rank"](vectors, number) == exact


def test_recalls_have_intervals() -> None:
    vectors, number = made(120, 6, 40, 3)
    bootstrap = Bootstrap(number.tolist(), 1, replicates=200)
    for name in NAMES:
        metric = METRICS[name]
        found = bootstrap.replicates(metric, vectors[None], number)
        assert found.value == pytest.approx(metric(vectors, number))
        assert np.isfinite(found.resampled).all()


def test_memory_does_not_grow_with_the_square_of_the_rows() -> None:
    import tracemalloc

    vectors, number = made(3000, 8, 1000, 0)
    tracemalloc.start()
    METRICS["mean_recall"](vectors, number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All cosines of both ways would take 144 MB.
    assert peak < 60e6


@pytest.mark.parametrize(
    ("vectors", "items", "said"),
    [
        (np.ones((2, 3)), [0, 1], "shape"),
        (np.full((2, 2), 3.0), [0, 1], "longer"),
        (np.full((2, 2), np.nan), [0, 1], "finite"),
        (np.ones((2, 2)), [0.5, 1], "item numbers"),
        (np.ones((2, 2)), [0], "shape"),
    ],
)
def test_what_is_no_pair_of_directions_is_refused(
    vectors: np.ndarray, items: list[float], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        evaluate(["mean_recall"], vectors, np.array(items))
