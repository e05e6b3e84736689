"""Merges are accepted only beyond chance, however many were tried."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.fusion.merges import Point, accept, frontier, row_scores


def hits(rows: int, share: float) -> np.ndarray:
    found = np.zeros(rows)
    found[: round(rows * share)] = 1
    return found


def test_a_merge_that_is_right_where_every_parent_errs_is_accepted() -> None:
    parents = {"a": hits(200, 0.7), "b": hits(200, 0.7)[::-1]}
    verdict = accept({"merge": np.ones(200), "poor": hits(200, 0.6)}, parents, 0)
    assert verdict.accepted == verdict.chosen == "merge"
    assert "merge beats every model" in verdict.reason
    assert {each.candidate for each in verdict.comparisons if each.beats} == {"merge"}
    assert verdict.means == pytest.approx({"merge": 1, "poor": 0.6, "a": 0.7, "b": 0.7})


def test_beating_one_parent_is_not_enough() -> None:
    verdict = accept({"merge": hits(200, 0.9)}, {"a": hits(200, 0.5), "b": hits(200, 0.9)}, 0)
    assert verdict.accepted is None
    assert verdict.chosen == "b"
    assert "not b" in verdict.reason


def test_the_ensemble_is_fallen_back_to_where_it_is_no_worse() -> None:
    parents = {"a": hits(100, 0.5), "b": hits(100, 0.6)}
    same = {"merge": hits(100, 0.6)}
    assert accept(same, parents, 0, ensemble=hits(100, 0.7)).chosen == "ensemble"
    assert accept(same, parents, 0, ensemble=hits(100, 0.55)).chosen == "b"
    assert "no model" not in accept(same, parents, 0).reason


@settings(max_examples=20)
@given(st.integers(0, 300))
def test_trying_more_merges_never_helps_one_of_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = {"a": rng.integers(0, 2, 60).astype(float)}
    better = np.maximum(parents["a"], rng.random(60) < 0.3)
    alone = accept({"merge": better}, parents, 0)
    others = {f"other {n}": rng.integers(0, 2, 60).astype(float) for n in range(4)}
    among = accept({"merge": better, **others}, parents, 0)
    first = next(each for each in among.comparisons if each.candidate == "merge")
    assert first.p >= alone.comparisons[0].p


def test_lucky_merges_are_seldom_accepted() -> None:
    rng = np.random.default_rng(0)
    accepted = 0
    for trial in range(60):
        parents = {name: (rng.random(80) < 0.7).astype(float) for name in "ab"}
        merges = {f"m{n}": (rng.random(80) < 0.7).astype(float) for n in range(5)}
        accepted += accept(merges, parents, trial).accepted is not None
    assert accepted <= 6


def test_the_verdict_is_plain_and_repeatable() -> None:
    rng = np.random.default_rng(1)
    rows = {"merge": rng.random(40)}, {"a": rng.random(40)}
    first, again = (accept(*rows, 3).to_dict() for _ in range(2))
    assert first == again
    assert first["comparisons"][0].keys() >= {"gain", "low", "high", "p", "beats"}
    with pytest.raises(ValueError, match="names of their own"):
        accept({"a": rng.random(40)}, {"a": rng.random(40)}, 0)


def test_row_scores_of_every_kind() -> None:
    shares = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert row_scores("classification", shares, np.array([0, 0])).tolist() == [1.0, 0.0]
    assert row_scores("multilabel", shares, np.array([[1, 0], [1, 1]])).tolist() == [1.0, 0.5]
    assert row_scores("regression", np.array([[1.0], [3.0]]), np.array([1, 1])).tolist() == [0, -4]


POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_nothing_on_the_front_is_beaten_and_all_else_is(
    pairs: list[tuple[int, int]],
) -> None:
    points = [Point(str(n), "single", score, cost) for n, (score, cost) in enumerate(pairs)]
    found = frontier(points)
    assert found == frontier(points[::-1])

    def beaten(point: Point) -> bool:
        return any(
            other.score >= point.score
            and other.cost <= point.cost
            and (other.score > point.score or other.cost < point.cost)
            for other in points
        )

    assert set(found.best) == {point.name for point in points if not beaten(point)}
    assert [row["best"] for row in found.to_dict()["points"]].count(True) == len(found.best)


def test_a_front_needs_numbers_and_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="not a number"):
        frontier([Point("a", "single", float("nan"), 1)])
    with pytest.raises(ValueError, match="twice"):
        frontier([Point("a", "single", 1, 1), Point("a", "merge", 1, 1)])
