"""Splits and label budgets: disjoint, complete, in proportion, groups whole, choices nested."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data.budget import few_shot, take_budget
from transfuse.data.split import Splitting, split
from transfuse.data.table import Table
from transfuse.errors import DataError

SEEDS = st.integers(0, 2**31)
CLASSES = st.lists(st.sampled_from("abcd"), min_size=20, max_size=200)


def table_of(labels=None, groups=None, **columns):
    size = len(labels if labels is not None else groups)
    columns = {"text": [f"sentence number {row}" for row in range(size)], **columns}
    roles = {"text": "text", "label": None, "group": None}
    if labels is not None:
        columns["label"] = labels
        roles["label"] = "label"
    if groups is not None:
        columns["group"] = groups
        roles["group"] = "group"
    return Table.from_dict(columns, name="made", roles=roles)


def assert_partition(parts, size):
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(rows.tolist()) == list(range(size))
    for part in (parts.train, parts.validation, parts.test):
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)


@settings(deadline=None, max_examples=60)
@given(labels=CLASSES, seed=SEEDS, test=st.sampled_from([0.1, 0.2, 0.35]))
def test_stratified_keeps_each_class_within_one_row_of_its_share(labels, seed, test):
    parts = split(table_of(labels), Splitting(test=test, by="stratified"), seed)
    assert_partition(parts, len(labels))
    values = np.array(labels)
    shares = {"train": 0.9 - test, "validation": 0.1, "test": test}
    for name, share in shares.items():
        chosen = values[getattr(parts, name)]
        assert abs(len(chosen) - share * len(values)) < 2
        for one in set(labels):
            assert abs((chosen == one).sum() - share * (values == one).sum()) < 1
    assert set(values[parts.train]) == set(labels)


@settings(deadline=None, max_examples=60)
@given(
    groups=st.lists(st.integers(0, 30), min_size=30, max_size=200).filter(
        lambda groups: len(set(groups)) >= 8
    ),
    seed=SEEDS,
)
def test_groups_stay_whole_and_sizes_come_near(groups, seed):
    labels = ["yes" if group % 3 else "no" for group in groups]
    parts = split(table_of(labels, groups), Splitting(), seed)
    assert_partition(parts, len(groups))
    values = np.array(groups)
    sides = [set(values[part]) for part in (parts.train, parts.validation, parts.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert all(sides)
    # No part can be asked to come nearer than the largest group allows.
    largest = np.bincount(values).max()
    assert abs(len(parts.test) - 0.2 * len(groups)) <= largest + 1


def test_many_small_groups_give_the_asked_sizes_and_shares():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 20, 300))
    labels = rng.choice(["good", "bad", "odd"], len(groups), p=[0.6, 0.3, 0.1])
    parts = split(table_of(labels.tolist(), groups.tolist()), Splitting(), 3)
    assert not parts.notes
    for part, share in ((parts.train, 0.7), (parts.validation, 0.1), (parts.test, 0.2)):
        assert abs(len(part) / len(groups) - share) < 0.003
        assert abs((labels[part] == "odd").mean() - (labels == "odd").mean()) < 0.02


def test_one_large_group_is_kept_whole_and_named():
    groups = [0] * 60 + list(range(1, 41))
    parts = split(table_of(None, groups), Splitting(test=0.5, validation=0.0), 0)
    sizes = sorted([len(parts.train), len(parts.test)])
    assert sizes == [40, 60]
    assert "60 rows" in parts.notes[0]


def test_the_default_follows_the_table():
    labels = ["a"] * 50 + ["b"] * 50
    by_class = split(table_of(labels), Splitting(), 1)
    assert (by_class.test < 50).sum() == 10
    numbers = np.random.default_rng(0).normal(size=100).tolist()
    assert_partition(split(table_of(numbers), Splitting(), 1), 100)
    groups = list(range(50)) * 2
    by_group = split(table_of(labels, groups), Splitting(), 1)
    assert set(by_group.test % 50) & set(by_group.train % 50) == set()


def test_the_split_is_pinned():
    """The same numbers on every machine; a change here changes every published result."""
    labels = ["a", "b", "b"] * 10
    parts = split(table_of(labels), Splitting(), 7)
    assert parts.test.tolist() == PINNED_STRATIFIED
    groups = [row // 3 for row in range(30)]
    assert split(table_of(labels, groups), Splitting(), 7).test.tolist() == PINNED_GROUPED


PINNED_STRATIFIED = [2, 13, 24, 27, 28, 29]
PINNED_GROUPED = [3, 4, 5, 27, 28, 29]


def test_seeds_differ_and_repeat():
    table = table_of(["a", "b"] * 100)
    one, two, again = (split(table, Splitting(), seed).test.tolist() for seed in (1, 2, 1))
    assert one == again
    assert one != two


def test_by_column_takes_what_the_table_says():
    said = ["Train"] * 12 + ["dev"] * 3 + ["test"] * 5
    table = table_of(["a", "b"] * 10, split=said)
    parts = split(table, Splitting(by="column"), 0)
    assert parts.train.tolist() == list(range(12))
    assert parts.validation.tolist() == [12, 13, 14]
    assert parts.test.tolist() == list(range(15, 20))


def test_by_column_without_validation_takes_it_from_the_training_rows():
    said = ["train"] * 80 + ["test"] * 20
    table = table_of(["a", "b"] * 50, split=said)
    parts = split(table, Splitting(by="column", validation=0.1), 0)
    assert_partition(parts, 100)
    assert parts.test.tolist() == list(range(80, 100))
    assert len(parts.validation) == 10
    assert (parts.validation % 2).sum() == 5


def test_by_column_names_every_bad_row():
    table = table_of(["a", "b"] * 2, split=["train", "tset", "test", "?"])
    with pytest.raises(DataError) as caught:
        split(table, Splitting(by="column"), 0)
    assert [problem.where for problem in caught.value.problems] == [
        "made, row 2, column 'split'",
        "made, row 4, column 'split'",
    ]


@pytest.mark.parametrize(
    ("table", "splitting", "said"),
    [
        (table_of(None, ["x"] * 30), Splitting(), "one group"),
        (table_of(None, ["x", "y"] * 15), Splitting(), "2 groups"),
        (table_of(["a", "b"] * 9), Splitting(by="group"), "no column is the group"),
        (table_of(["a", "b"]), Splitting(by="stratified"), "two rows or more"),
        (table_of(["a", "a", "b", "b"]), Splitting(by="stratified"), "no rows are left"),
        (table_of([0.5] * 30), Splitting(by="stratified"), "two rows or more"),
        (table_of(["a", "b"] * 9), Splitting(by="column"), "no column 'split'"),
        (table_of(["a", "b"], split=["train", "train"]), Splitting(by="column"), "for test"),
    ],
)
def test_what_cannot_be_done_is_an_error(table, splitting, said):
    with pytest.raises(DataError, match=said):
        split(table, splitting, 0)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (-0.1, 0.1), (0.6, 0.4)])
def test_shares_are_checked(shares):
    with pytest.raises(ValueError, match=r"share|no rows"):
        Splitting(test=shares[0], validation=shares[1])


@settings(deadline=None, max_examples=80)
@given(labels=CLASSES, seed=SEEDS, data=st.data())
def test_budgets_are_nested_and_in_proportion(labels, seed, data):
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    more, fewer = take_budget(labels, large, seed), take_budget(labels, small, seed)
    assert fewer.tolist() == more[:small].tolist()
    assert len(set(more.tolist())) == large
    counts = {one: labels.count(one) for one in set(labels)}
    chosen = [labels[row] for row in more]
    for one, count in counts.items():
        if large >= len(counts):
            assert one in chosen
        # The first row of each class is granted even where its share is less than one row.
        assert abs(chosen.count(one) - large * count / len(labels)) < len(counts)


def test_budget_shares_are_close():
    labels = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    chosen = [labels[row] for row in take_budget(labels, 100, 5)]
    assert [chosen.count(one) for one in "abc"] == [70, 20, 10]


def test_budgets_of_numbers_are_random_and_nested():
    values = np.linspace(0, 1, 50).tolist()
    assert take_budget(values, 10, 0).tolist() == take_budget(values, 40, 0)[:10].tolist()
    assert take_budget(values, 10, 0).tolist() != take_budget(values, 10, 1).tolist()


@pytest.mark.parametrize("budget", [0, -1, 11])
def test_an_impossible_budget_is_an_error(budget):
    with pytest.raises(DataError, match="a budget from 1 to 10"):
        take_budget(["a", "b"] * 5, budget, 0)


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, k=st.integers(1, 5))
def test_few_shot_takes_k_of_each_class(seed, k):
    labels = list("aabbbcccaaabbc") + ["a"] * 10 + ["b"] + ["c"]
    chosen = [labels[row] for row in few_shot(labels, k, seed)]
    assert [chosen.count(one) for one in "abc"] == [k, k, k]
    assert few_shot(labels, k, seed)[:3].tolist() == few_shot(labels, 1, seed).tolist()


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, k=st.integers(1, 3))
def test_few_shot_counts_a_row_of_several_classes_for_each(seed, k):
    rows = ["ab", "b", "abc", "", "c", "ac", "a", "b", "c", "bc"]
    labels = [frozenset(row) for row in rows]
    chosen = few_shot(labels, k, seed).tolist()
    assert len(set(chosen)) == len(chosen) <= 3 * k
    assert all(sum(one in rows[row] for row in chosen) >= k for one in "abc")
    assert few_shot(labels, 3, seed).tolist()[: len(chosen)] == chosen
    with pytest.raises(DataError, match="class 'd' has 0"):
        few_shot(labels, k, seed, "abcd")


def test_few_shot_names_every_short_class():
    with pytest.raises(DataError) as caught:
        few_shot(["a", "a", "a", "b", "c", "c"], 3, 0)
    assert [problem.what for problem in caught.value.problems] == [
        "class 'b' has 1",
        "class 'c' has 2",
    ]
    with pytest.raises(DataError, match="one class for each row"):
        few_shot([0.1, 0.2], 1, 0)
