"""Batches are cut where padding would cost more than another pass."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from transfuse.serving.answers import groups_of_like_length, row_bytes

_PASS = 360


def cost(lengths: list[int], groups: list[list[int]]) -> int:
    return sum(_PASS + len(group) * max(lengths[place] for place in group) for group in groups)


@given(st.lists(st.integers(0, 2048), min_size=1, max_size=40))
def test_every_text_is_in_one_pass_and_nothing_costs_more(lengths: list[int]) -> None:
    groups = groups_of_like_length(lengths)
    assert sorted(itertools.chain(*groups)) == list(range(len(lengths)))
    assert cost(lengths, groups) <= cost(lengths, [list(range(len(lengths)))])
    assert cost(lengths, groups) <= cost(lengths, [[place] for place in range(len(lengths))])


@given(st.lists(st.integers(0, 2048), min_size=1, max_size=7))
def test_no_cut_is_cheaper(lengths: list[int]) -> None:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    every = (
        [order[start:end] for start, end in itertools.pairwise([0, *cuts, len(order)])]
        for count in range(len(order))
        for cuts in itertools.combinations(range(1, len(order)), count)
    )
    least = min(cost(lengths, groups) for groups in every)
    assert cost(lengths, groups_of_like_length(lengths)) == least


def test_like_texts_stay_together_and_unlike_ones_do_not() -> None:
    assert len(groups_of_like_length([100] * 32)) == 1
    assert [sorted(group) for group in groups_of_like_length([50, 2000] * 8)] == [
        list(range(1, 16, 2)),
        list(range(0, 16, 2)),
    ]
    assert groups_of_like_length([]) == []


def test_bytes_of_texts() -> None:
    assert row_bytes("abc") == 3
    assert row_bytes("电影") == 6
    assert row_bytes("a" * 10_000) == 2048
    assert row_bytes("\ud800") == 1
