"""Episodes: disjoint, class by class, the same again after a resume, whatever the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data import Episodes, EpisodeStream
from transfuse.errors import DataError

TARGETS = np.repeat(np.arange(6), [9, 9, 9, 9, 9, 9])


def stream(
    targets: object = TARGETS, *, seed: int = 0, rank: int = 0, **sizes: int
) -> EpisodeStream:
    return EpisodeStream(targets, Episodes(**sizes), seed=seed, name="target/episodes", rank=rank)


@given(
    counts=st.lists(st.integers(0, 7), min_size=3, max_size=9),
    ways=st.integers(2, 6),
    shots=st.integers(1, 4),
    queries=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_an_episode_is_what_it_says(
    counts: list[int], ways: int, shots: int, queries: int, seed: int
) -> None:
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    able = [label for label, count in enumerate(counts) if count >= (2 if queries else 1)]
    if len(able) < 2:
        with pytest.raises(DataError):
            stream(targets, ways=ways, shots=shots, queries=queries, seed=seed)
        return
    episodes = stream(targets, ways=ways, shots=shots, queries=queries, seed=seed)
    for _ in range(3):
        rows, support = next(episodes)
        assert len(set(rows.tolist())) == len(rows), "support and queries are different rows"
        classes = targets[rows]
        blocks = 1 + int((np.diff(classes) != 0).sum())
        assert blocks == len(set(classes.tolist())) == min(ways, len(able)), "class by class"
        for label in set(classes.tolist()):
            learnt = int(support[classes == label].sum())
            asked = int((~support[classes == label]).sum())
            assert 1 <= learnt <= shots
            assert (1 <= asked <= queries) if queries else asked == 0
            assert learnt + asked == min(counts[label], shots + queries)


def test_a_resumed_stream_gives_the_next_episode() -> None:
    whole = stream(ways=4, shots=2, queries=2)
    for _ in range(5):
        next(whole)
    resumed = stream(ways=4, shots=2, queries=2)
    resumed.load_state_dict(whole.state_dict())
    for _ in range(4):
        for expected, got in zip(next(whole), next(resumed), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_the_draw_depends_on_seed_and_process() -> None:
    first = next(stream(ways=3))[0].tolist()
    assert next(stream(ways=3))[0].tolist() == first
    assert next(stream(ways=3, seed=1))[0].tolist() != first
    assert next(stream(ways=3, rank=1))[0].tolist() != first


def test_classes_take_turns() -> None:
    targets = np.repeat(np.arange(11), 4)
    episodes = stream(targets, ways=3, shots=2, queries=2)
    left_out = set()
    for _ in range(40):
        deal = [targets[next(episodes)[0]] for _ in range(3)]
        seen = [label for classes in deal for label in np.unique(classes).tolist()]
        assert len(set(seen)) == 9, "no class twice before too few are left"
        left_out |= set(range(11)) - set(seen)
    assert left_out == set(range(11)), "whose turn is missed changes"


def test_labels_that_are_no_classes_are_refused() -> None:
    with pytest.raises(DataError, match="one class for each row"):
        stream(np.linspace(0, 1, 9))
    with pytest.raises(DataError, match="at least two such classes"):
        stream(np.zeros(9, dtype=int))


@pytest.mark.parametrize(("name", "value"), [("ways", 1), ("shots", 0), ("queries", -1)])
def test_sizes_are_checked(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        Episodes(**{name: value})
