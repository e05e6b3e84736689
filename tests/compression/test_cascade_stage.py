"""The cascade stage: thresholds that surely keep what was asked, on rows not chosen by."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from said_members import Said, evidence, silent, soft
from transfuse.compression.cascade import CascadeStage, least_kept
from transfuse.errors import DataError, ModelError
from transfuse.tasks import Classification, Regression

TASK = Classification(labels=("a", "b", "c"))


def models(rows: int, *skills: float, seed: int = 0) -> tuple[list[Any], Any]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, size=rows)
    return [
        Said(TASK, soft(rng, targets, 3, skill), f"m{place}") for place, skill in enumerate(skills)
    ], targets


def make(given: list[Any], targets: Any, **options: Any) -> Any:
    rows = evidence([TASK.labels[target] for target in targets])
    return CascadeStage(**options).make(given, rows, 0, silent)


def accuracy(model: Any, targets: Any, rows: range) -> float:
    found = model.scores([f"row {row}" for row in rows])
    return float((found.argmax(axis=1) == targets[rows.start : rows.stop]).mean())


def test_the_score_is_kept_and_few_rows_are_deferred() -> None:
    given, targets = models(2000, 2.0, 4.0)
    made = make(given, targets, keep=0.95)
    told = json.loads(json.dumps(dict(made.told), allow_nan=False))
    assert told["bound"] >= 0
    assert told["score"] >= 0.95 * told["score_largest"]
    assert 0 < told["deferred"] < 0.8
    assert told["members"][0]["asked"] == 1
    assert told["members"][1]["asked"] == pytest.approx(told["deferred"])
    assert told["members"][0]["answers"] == pytest.approx(1 - told["deferred"])
    seconds = [member["seconds_a_row"] for member in told["members"]]
    assert told["seconds_a_row"] == pytest.approx(seconds[0] + told["deferred"] * seconds[1])
    assert accuracy(made.model, targets, range(2000)) == pytest.approx(told["score"])
    assert [member["name"] for member in told["members"]] == ["m0", "m1"]


def test_asking_for_less_defers_less() -> None:
    given, targets = models(1500, 2.0, 4.0)
    deferred = [make(given, targets, keep=keep).told["deferred"] for keep in (0.999, 0.97, 0.9)]
    assert deferred[0] >= deferred[1] >= deferred[2]
    unsure = make(given, targets, keep=0.97, level=0.99).told["deferred"]
    as_measured = make(given, targets, keep=0.97, level=0.5).told["deferred"]
    assert unsure >= deferred[1] >= as_measured


def test_what_is_promised_holds_on_other_rows() -> None:
    """Of 100 cascades, at most about 5 may keep less than was asked."""
    broken = 0
    for seed in range(100):
        given, targets = models(2400, 2.5, 4.0, seed=seed)
        made = make(given, targets[:400], keep=0.97, steps=25)
        rows = range(400, 2400)
        large = float((given[1].answers[400:].argmax(axis=1) == targets[400:]).mean())
        broken += accuracy(made.model, targets, rows) < 0.97 * large - 0.005
    assert broken <= 9  # a binomial of 100 and 5 % is above 9 once in 35 times


def test_a_small_model_that_is_as_good_answers_alone() -> None:
    given, targets = models(1000, 5.0, 1.0)
    made = make(given, targets)
    assert made.told["deferred"] == 0
    assert made.told["threshold"] == 0
    assert [member.name for member in made.model.members] == ["m0"]


def test_too_few_rows_prove_nothing_and_it_says_how_many_would() -> None:
    given, targets = models(40, 4.0, 5.0)
    made = make(given, targets)
    assert made.told["deferred"] == 1
    assert made.told["threshold"] is None
    assert "the largest model answers alone; it takes about" in made.told["note"]
    assert [member.name for member in made.model.members] == ["m1"]
    assert made.told["members"][0]["asked"] == 0
    assert made.told["times_as_fast"] == pytest.approx(1.0)
    np.testing.assert_array_equal(made.model.scores(["row 3"]), given[1].answers[3:4])


def test_a_worthless_small_model_is_left_out() -> None:
    given, targets = models(1000, 0.0, 6.0)
    made = make(given, targets, keep=1.0)
    assert made.told["deferred"] == 1
    assert len(made.model.members) == 1
    assert made.told["note"].endswith("answers alone")  # no number of rows would show it


def test_three_models_share_one_threshold_and_labels_meet_by_name() -> None:
    given, targets = models(2000, 1.5, 2.0, 4.0)
    turned = Said(Classification(labels=("c", "a", "b")), given[1].answers[:, [2, 0, 1]], "m1")
    made = make(given, targets, keep=0.93)
    same = make([given[0], turned, given[2]], targets, keep=0.93)
    assert made.told["score"] == same.told["score"]
    assert len(made.model.members) == 3
    assert made.model.thresholds == same.model.thresholds
    answers = [member["answers"] for member in made.told["members"]]
    assert sum(answers) == pytest.approx(1.0)
    assert min(answers) > 0


@given(
    st.integers(30, 300),
    st.integers(0, 20),
    st.integers(0, 20),
    st.floats(0.9, 1.0),
    st.floats(0.5, 0.999),
)
def test_the_bound_moves_with_what_it_is_a_bound_of(
    both: int, lost: int, won: int, keep: float, level: float
) -> None:
    def bound(both: int, lost: int, won: int, keep: float = keep, level: float = level) -> float:
        cascade = np.array([1.0] * both + [0.0] * lost + [1.0] * won)
        largest = np.array([1.0] * both + [1.0] * lost + [0.0] * won)
        return least_kept(cascade, largest, keep, level)

    found = bound(both, lost, won)
    assert bound(both, lost + 1, won) < found + 1e-12
    assert bound(both, lost, won, level=0.5) >= found
    assert bound(both, lost, won, keep=keep - 0.05) >= found
    measured = ((both + won) - keep * (both + lost)) / (both + lost + won)
    if lost + won == 0:
        assert found <= measured + 1e-12


def test_the_bound_covers() -> None:
    """One-sided 95 %: the truth lies below the bound in about one of twenty samples."""
    rng = np.random.default_rng(0)
    for shares in ((0.9, 0.01, 0.005, 0.085), (0.8, 0.03, 0.03, 0.14), (0.85, 0.002, 0.0, 0.148)):
        outcomes = rng.choice(4, p=shares, size=(2000, 300))
        truth = (shares[0] + shares[2]) - 0.99 * (shares[0] + shares[1])
        above = 0
        for row in outcomes:
            cascade, largest = (row == 0) | (row == 2), (row == 0) | (row == 1)
            found = least_kept(cascade.astype(float), largest.astype(float), 0.99, 0.95)
            above += found > truth
        assert above / 2000 < 0.07


def test_the_bound_covers_where_rows_of_a_document_go_wrong_together() -> None:
    rng = np.random.default_rng(0)
    groups = [row // 10 for row in range(300)]
    above = naive = 0
    for _ in range(1000):
        # In a fifth of the documents the small model is lost.
        lost = np.repeat(rng.random(30) < 0.2, 10) & (rng.random(300) < 0.5)
        largest = np.ones(300)
        cascade = 1.0 - lost
        truth = 1 - 0.1 - 0.9
        above += least_kept(cascade, largest, 0.9, 0.95, groups) > truth
        naive += least_kept(cascade, largest, 0.9, 0.95) > truth
    assert above / 1000 < 0.11
    assert naive / 1000 > 0.15
    assert least_kept(np.ones(9), np.ones(9), 0.9, 0.95, ["one"] * 9) == -np.inf


def test_what_cannot_be_done_is_said() -> None:
    number = [Said(Regression(mean=0.0, deviation=1.0), np.zeros((5, 1)))] * 2
    with pytest.raises(ModelError, match="do regression"):
        CascadeStage().make(number, evidence([1.0, 2.0]), 0, silent)
    given, targets = models(5, 1.0, 1.0)
    rows = evidence([TASK.labels[target] for target in targets])
    empty = type(rows)(rows.train, rows.validation.take([]))
    with pytest.raises(DataError, match="no validation rows"):
        CascadeStage().make(given, empty, 0, silent)
    for wrong in ({"keep": 0.0}, {"keep": 1.5}, {"level": 1.0}, {"level": 0.4}, {"steps": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CascadeStage(**wrong)
