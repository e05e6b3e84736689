"""Batches hold every row once within the budget, and a stream goes on exactly where it stopped."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data.batching import Batching, Stream, evaluation_batches, plan_epoch
from transfuse.errors import DataError

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=120)
BATCHINGS = st.builds(
    Batching, rows=st.integers(1, 9), tokens=st.integers(1, 120), window=st.integers(1, 5)
)


def plan(lengths, batching, seed=0, **options):
    return plan_epoch(lengths, batching, np.random.default_rng(seed), **options)


def cost(batch, lengths):
    return len(batch) * max(1, max(lengths[row] for row in batch))


@given(LENGTHS, BATCHINGS, st.booleans())
def test_an_epoch_holds_each_row_once_within_the_budget(lengths, batching, shuffle):
    batches = plan(lengths, batching, shuffle=shuffle)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.dtype == np.int64
        assert 1 <= len(batch) <= batching.rows
        assert len(batch) == 1 or cost(batch, lengths) <= batching.tokens


@given(LENGTHS, BATCHINGS, st.integers(2, 5))
def test_shared_batches_feed_every_process_and_exceed_the_budget_by_rows_alone(
    lengths, batching, world
):
    if len(lengths) < world:
        with pytest.raises(DataError, match=f"shared by {world} processes"):
            plan(lengths, batching, least=world)
        return
    batches = plan(lengths, batching, least=world)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) >= world
        within = len(batch) <= batching.rows and cost(batch, lengths) <= batching.tokens
        assert within or len(batch) < 2 * world


def test_no_rows_make_no_batches():
    assert plan([], Batching()) == []
    assert evaluation_batches([]) == []


def test_batches_are_nearly_free_of_padding_and_in_random_order():
    lengths = np.random.default_rng(1).integers(5, 120, 5000)
    batches = plan(lengths, Batching(rows=16, tokens=100_000, window=50))
    padded = sum(cost(batch, lengths) for batch in batches)
    assert lengths.sum() / padded > 0.95
    longest = np.array([lengths[batch[0]] for batch in batches])
    # Sorted batches would correlate at 1 with their place; a shuffle stays near 0.
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2


def test_epochs_mix_rows_differently():
    lengths = np.full(200, 7)
    first, second = plan(lengths, Batching(), seed=0), plan(lengths, Batching(), seed=1)
    assert {frozenset(batch.tolist()) for batch in first}.isdisjoint(
        frozenset(batch.tolist()) for batch in second
    )


@given(st.lists(st.integers(0, 40), max_size=80), st.integers(1, 100))
def test_evaluation_takes_the_longest_first_and_each_row_once(lengths, tokens):
    batches = evaluation_batches(lengths, tokens)
    flat = [row for batch in batches for row in batch.tolist()]
    assert sorted(flat) == list(range(len(lengths)))
    costs = [max(1, lengths[row]) for row in flat]
    assert costs == sorted(costs, reverse=True)
    assert all(len(batch) == 1 or cost(batch, lengths) <= tokens for batch in batches)


@given(LENGTHS, BATCHINGS, st.integers(0, 2**40), st.data())
@settings(max_examples=60)
def test_a_resumed_stream_equals_one_that_never_stopped(lengths, batching, seed, data):
    def stream():
        return Stream(lengths, batching, seed=seed, name="target", epochs=3)

    whole = [batch.tolist() for batch in stream()]
    stop = data.draw(st.integers(0, len(whole)))
    first = stream()
    for _ in range(stop):
        next(first)
    saved = json.loads(json.dumps(first.state_dict()))
    second = stream()
    second.load_state_dict(saved)
    assert (second.epoch, second.batch, second.global_rows, second.epoch_ended) == (
        first.epoch,
        first.batch,
        first.global_rows,
        first.epoch_ended,
    )
    assert [batch.tolist() for batch in second] == whole[stop:]
    # A stream that has already gone elsewhere comes back too.
    first.load_state_dict(stream().state_dict())
    assert [batch.tolist() for batch in first] == whole


@given(LENGTHS, BATCHINGS, st.integers(1, 4))
@settings(max_examples=60)
def test_the_processes_share_each_batch_in_equal_steps(lengths, batching, world):
    if len(lengths) < world:
        return
    streams = [
        Stream(lengths, batching, seed=3, name="s", epochs=2, rank=rank, world=world)
        for rank in range(world)
    ]
    steps = streams[0].steps(2)
    taken = []
    for _ in range(steps):
        shares = [next(stream) for stream in streams]
        sizes = [len(share) for share in shares]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert {stream.global_rows for stream in streams} == {sum(sizes)}
        taken += [row for share in shares for row in share.tolist()]
    assert sorted(taken) == sorted([*range(len(lengths))] * 2)
    for stream in streams:
        assert stream.finished
        with pytest.raises(StopIteration):
            next(stream)


def test_an_endless_stream_marks_its_epochs():
    stream = Stream([3] * 10, Batching(rows=4), seed=0, name="s")
    ends = []
    for step in range(9):
        next(stream)
        if stream.epoch_ended:
            ends.append((step, stream.epoch))
    assert ends == [(2, 0), (5, 1), (8, 2)]
    assert not stream.finished


def test_streams_of_other_names_seeds_and_epochs_draw_apart():
    def first(name, seed, epochs=1):
        stream = Stream([5] * 64, Batching(rows=64), seed=seed, name=name)
        return [next(stream).tolist() for _ in range(epochs)]

    draws = [*first("target", 0, epochs=2), *first("source", 0), *first("target", 1)]
    assert len({tuple(draw) for draw in draws}) == 4
    assert first("target", 0) == first("target", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": [4] * 21},
        {"lengths": [5] * 20},
        {"batching": Batching(rows=2)},
        {"seed": 1},
        {"name": "source"},
        {"shuffle": False},
        {"world": 2},
    ],
)
def test_a_position_is_refused_by_a_stream_it_does_not_belong_to(change):
    given_ = {"lengths": [4] * 20, "batching": Batching(rows=4), "seed": 0, "name": "target"}
    saved = Stream(**given_).state_dict()
    with pytest.raises(DataError, match="other batches"):
        Stream(**(given_ | change)).load_state_dict(saved)


def test_only_one_plan_is_held_and_no_batch_is_replayed(monkeypatch):
    planned = []
    monkeypatch.setattr(
        "transfuse.data.batching.plan_epoch",
        lambda *a, **k: planned.append(1) or plan_epoch(*a, **k),
    )
    stream = Stream([4] * 400, Batching(rows=2), seed=0, name="s")
    state = stream.state_dict() | {"epoch": 40, "batch": 150}
    stream.load_state_dict(state)
    next(stream)
    assert len(planned) == 2  # one when built, one for epoch 40
    assert (stream.epoch, stream.batch) == (40, 151)


def test_what_cannot_be_batched_is_refused():
    with pytest.raises(ValueError, match="tokens must be at least 1"):
        Batching(tokens=0)
    with pytest.raises(ValueError, match="row 1 has a negative length"):
        plan([3, -1], Batching())
    with pytest.raises(DataError, match="target: has no rows"):
        Stream([], seed=0, name="target")
    with pytest.raises(ValueError, match="rank 2 is not among 2"):
        Stream([1, 2], seed=0, name="s", rank=2, world=2)
    with pytest.raises(ValueError, match="tokens must be at least 1"):
        evaluation_batches([3], 0)
    stream = Stream([1, 2], seed=0, name="s")
    with pytest.raises(DataError, match="saved batch 9"):
        stream.load_state_dict(stream.state_dict() | {"batch": 9})
