"""Cascades: who is asked, who answers, and what a folder keeps of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from said_members import LABELS, TEXTS, Said, keep, soft, write_tfidf
from transfuse.answering import load_model
from transfuse.answering.cascade import Cascade
from transfuse.tasks import Classification, MultiLabel

ROWS = [f"row {row}" for row in range(40)]
TASK = Classification(labels=("a", "b", "c"))


def said(seed: int) -> Said:
    rng = np.random.default_rng(seed)
    return Said(TASK, soft(rng, rng.integers(3, size=40), 3, 1.0))


def test_a_threshold_of_0_is_the_small_and_one_above_1_the_large() -> None:
    small, large = said(0), said(1)
    found, who = Cascade((small, large), (0.0,), TASK.labels).answer(ROWS)
    np.testing.assert_array_equal(found, small.answers)
    assert set(who) == {0}
    assert not large.asked
    small.asked.clear()
    found, who = Cascade((small, large), (1.01,), TASK.labels).answer(ROWS)
    np.testing.assert_array_equal(found, large.answers)
    assert set(who) == {1}
    assert not small.asked


@given(st.floats(0, 1.1), st.floats(0, 1.1))
def test_only_rows_that_a_member_is_not_sure_of_go_on(first: float, second: float) -> None:
    members = (said(0), said(1), said(2))
    cascade = Cascade(members, (first, second), TASK.labels)
    found, who = cascade.answer(ROWS)
    expected = []
    for row in range(40):
        sure = [members[0].answers[row].max() >= first, members[1].answers[row].max() >= second]
        expected.append(([*sure, True]).index(True))
    np.testing.assert_array_equal(who, expected)
    np.testing.assert_array_equal(found, [members[m].answers[r] for r, m in enumerate(who)])
    for place, member in enumerate(members):
        asked = [row for rows in member.asked for row in rows]
        unasked = place < 2 and (first, second)[place] > 1
        assert asked == ([] if unasked else [ROWS[row] for row in range(40) if who[row] >= place])


def test_a_row_alone_answers_as_among_others() -> None:
    cascade = Cascade((said(0), said(1)), (0.6,), TASK.labels)
    found = cascade.scores(ROWS)
    alone = np.vstack([cascade.scores([row]) for row in ROWS])
    np.testing.assert_array_equal(alone, found)
    turned = cascade.scores(ROWS[::-1])
    np.testing.assert_array_equal(turned[::-1], found)
    assert cascade.scores([]).shape == (0, 3)


def test_several_labels_are_as_sure_as_the_least_sure_of_them() -> None:
    task = MultiLabel(labels=LABELS)
    small = Said(task, np.array([[0.95, 0.02], [0.95, 0.4]]))
    large = Said(task, np.array([[0.5, 0.5], [0.6, 0.7]]))
    found, who = Cascade((small, large), (0.9,), LABELS).answer(["row 0", "row 1"])
    np.testing.assert_array_equal(who, [0, 1])
    np.testing.assert_array_equal(found, [[0.95, 0.02], [0.6, 0.7]])


def test_labels_meet_by_name_and_the_folder_holds_all(tmp_path: Path) -> None:
    small = write_tfidf(tmp_path / "small", LABELS[::-1], temperature=4.0)
    large = write_tfidf(tmp_path / "large", words=2)
    threshold = float(np.median(small.scores(TEXTS).max(axis=1)))
    cascade = Cascade((small, large), (threshold,), LABELS)
    expected, who = cascade.answer(TEXTS)
    assert set(who) == {0, 1}
    np.testing.assert_array_equal(expected[who == 0], small.scores(TEXTS)[who == 0][:, ::-1])
    whole = keep(tmp_path / "whole", cascade, large.task)
    shutil.rmtree(tmp_path / "small")
    shutil.rmtree(tmp_path / "large")
    opened = load_model(whole.path)
    np.testing.assert_allclose(opened.scores(TEXTS), expected, rtol=1e-12)
    assert opened.model.parameters == cascade.parameters
    assert opened.model.thresholds == (threshold,)


def test_wrong_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="every member but the last"):
        Cascade((said(0), said(1)), (), TASK.labels)
    with pytest.raises(ValueError, match="at least 0"):
        Cascade((said(0), said(1)), (float("nan"),), TASK.labels)
