"""Gathering: idle servers answer at once, busy ones in batches, and no queue grows."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.serving import Batcher, FullError, StoppedError
from transfuse.serving.answers import row_bytes


class Work:
    """Doubles texts, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, texts: list[str]) -> list[str]:
        self.batches.append(texts)
        self.entered.release()
        assert self.open.wait(10)
        if "fail" in texts:
            raise RuntimeError("fail")
        return [2 * text for text in texts]


def batching(
    test: Callable[[Batcher[str], Work], Awaitable[None]], threads: int = 1, **options: Any
) -> Work:
    """Run a test with a batcher, which is closed afterwards."""
    work = Work()

    async def run() -> None:
        with ThreadPoolExecutor(threads) as executor:
            batcher = Batcher(work, executor, threads=threads, **options)
            try:
                await test(batcher, work)
            finally:
                work.open.set()
                await batcher.close()

    asyncio.run(run())
    return work


async def blocked(batcher: Batcher[str], work: Work) -> "asyncio.Task[list[str]]":
    """Make the one thread busy, until `work.open` is set."""
    work.open.clear()
    task = asyncio.create_task(batcher.answer(["first"]))
    while not work.entered.acquire(blocking=False):
        await asyncio.sleep(0.001)
    return task


@given(
    st.lists(st.lists(st.text(max_size=5), max_size=9), max_size=12),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_everybody_gets_the_own_answers_in_order(
    requests: list[list[str]], max_batch: int, threads: int
) -> None:
    async def ask(batcher: Batcher[str], _: Work) -> None:
        found = await asyncio.gather(*map(batcher.answer, requests))
        assert found == [[2 * text for text in texts] for texts in requests]
        assert batcher.queued == 0

    work = batching(ask, threads, max_batch=max_batch, latency=0.001)
    assert max(map(len, work.batches), default=0) <= max_batch
    assert sum(map(len, work.batches)) == sum(map(len, requests))


def test_texts_that_come_while_the_thread_is_busy_are_answered_together() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        rest = [asyncio.create_task(batcher.answer([str(n), "x"])) for n in range(5)]
        await asyncio.sleep(0.02)
        assert batcher.queued == 10
        work.open.set()
        await asyncio.gather(first, *rest)

    work = batching(ask, max_batch=8)
    assert [len(batch) for batch in work.batches] == [1, 8, 2]


def test_an_idle_server_does_not_wait_for_others() -> None:
    seconds: list[float] = []

    async def ask(batcher: Batcher[str], work: Work) -> None:
        for _ in range(3):
            began = time.perf_counter()
            await batcher.answer(["a"])
            seconds.append(time.perf_counter() - began)

    batching(ask, latency=5.0)
    assert max(seconds) < 1


def test_after_a_large_batch_a_lone_text_waits_no_longer_than_the_bound() -> None:
    seconds: list[float] = []

    async def ask(batcher: Batcher[str], _: Work) -> None:
        await batcher.answer([str(n) for n in range(8)])
        began = time.perf_counter()
        await batcher.answer(["a"])
        seconds.append(time.perf_counter() - began)

    work = batching(ask, latency=0.2)
    assert [len(batch) for batch in work.batches] == [8, 1]
    assert 0.15 < seconds[0] < 2


def test_after_a_pause_the_last_batch_says_nothing() -> None:
    seconds: list[float] = []

    async def ask(batcher: Batcher[str], _: Work) -> None:
        await batcher.answer([str(n) for n in range(8)])
        await asyncio.sleep(0.6)
        began = time.perf_counter()
        await batcher.answer(["a"])
        seconds.append(time.perf_counter() - began)

    batching(ask, latency=0.5)
    assert seconds[0] < 0.3


def test_free_threads_share_what_waits() -> None:
    async def ask(batcher: Batcher[str], _: Work) -> None:
        await batcher.answer([str(n) for n in range(8)])

    work = batching(ask, threads=2, latency=0.0)
    assert sorted(len(batch) for batch in work.batches) == [4, 4]


def test_long_texts_make_smaller_batches() -> None:
    async def ask(batcher: Batcher[str], _: Work) -> None:
        await batcher.answer(["字" * 5000] * 20 + ["short"] * 20)

    work = batching(ask, max_batch=20, weigh=row_bytes)
    assert [len(batch) for batch in work.batches][:3] == [8, 8, 20]


def test_a_full_queue_turns_away_and_takes_again() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        waiting = asyncio.create_task(batcher.answer(["a", "b", "c"]))
        await asyncio.sleep(0)
        with pytest.raises(FullError) as full:
            await batcher.answer(["d", "e"])
        assert full.value.seconds > 0
        assert batcher.queued == 3
        last = asyncio.create_task(batcher.answer(["d"]))
        await asyncio.sleep(0)
        work.open.set()
        assert await asyncio.gather(first, waiting, last) == [
            ["firstfirst"],
            ["aa", "bb", "cc"],
            ["dd"],
        ]
        assert await batcher.answer(["f"] * 4) == ["ff"] * 4

    batching(ask, queue=4)


def test_a_queue_that_moves_slowly_is_full_early() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        await asyncio.sleep(0.1)
        work.open.set()
        await first
        # About ten texts a second were measured.
        again = await blocked(batcher, work)
        # However many come at once, an empty queue takes them;
        many = asyncio.create_task(batcher.answer(["a"] * 50))
        await asyncio.sleep(0)
        # those behind them would have to wait for some five seconds.
        with pytest.raises(FullError) as full:
            await batcher.answer(["b"])
        assert 4 < full.value.seconds < 60
        work.open.set()
        await asyncio.gather(again, many)
        assert await batcher.answer(["b"]) == ["bb"]

    batching(ask, patience=2.0)


def test_the_time_to_come_back_is_measured() -> None:
    async def ask(batcher: Batcher[str], _: Work) -> None:
        assert batcher.rate is None
        await asyncio.gather(*(batcher.answer(["a"]) for _ in range(50)))
        assert batcher.rate is not None
        assert batcher.wait_for(100) == pytest.approx(100 / batcher.rate)

    batching(ask)


def test_what_nobody_waits_for_is_not_computed() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        gone = [asyncio.create_task(batcher.answer(["gone"] * 3)) for _ in range(4)]
        stays = asyncio.create_task(batcher.answer(["stays"]))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        assert batcher.queued == 1
        work.open.set()
        await asyncio.gather(first, stays)

    work = batching(ask)
    assert work.batches == [["first"], ["stays"]]


def test_a_request_that_goes_half_answered_leaves_the_queue() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        work.open.clear()
        task = asyncio.create_task(batcher.answer(["x"] * 10))
        while not work.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        assert batcher.queued == 6
        task.cancel()
        await asyncio.wait([task])
        assert batcher.queued == 0
        work.open.set()
        assert await batcher.answer(["y"]) == ["yy"]

    work = batching(ask, max_batch=4)
    assert [len(batch) for batch in work.batches] == [4, 1]


def test_one_request_that_fails_does_not_harm_the_others() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        tasks = [asyncio.create_task(batcher.answer([text])) for text in ("a", "fail", "b")]
        await asyncio.sleep(0)
        work.open.set()
        found = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert found[1] == ["aa"]
        assert isinstance(found[2], RuntimeError)
        assert found[3] == ["bb"]
        assert await batcher.answer(["after"]) == ["afterafter"]

    batching(ask)


def test_draining_answers_what_was_taken_on() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        waiting = asyncio.create_task(batcher.answer(["a"] * 5))
        await asyncio.sleep(0)
        draining = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        with pytest.raises(StoppedError):
            await batcher.answer(["late"])
        assert not draining.done()
        work.open.set()
        await asyncio.wait_for(draining, 10)
        assert first.done()
        assert await waiting == ["aa"] * 5

    batching(ask, max_batch=2)


def test_closing_waits_for_no_thread() -> None:
    async def ask(batcher: Batcher[str], work: Work) -> None:
        first = await blocked(batcher, work)
        waiting = asyncio.create_task(batcher.answer(["a"]))
        await asyncio.sleep(0)
        await asyncio.wait_for(batcher.close(), 5)
        for task in (first, waiting):
            with pytest.raises(StoppedError):
                await task
        with pytest.raises(StoppedError):
            await batcher.answer(["b"])

    assert batching(ask).batches == [["first"]]


def test_other_work_has_its_turn_and_keeps_its_seat() -> None:
    running = threading.Semaphore(1)

    def alone(_: Sequence[str] = ()) -> str:
        assert running.acquire(blocking=False)
        time.sleep(0.01)
        running.release()
        return "done"

    async def ask(batcher: Batcher[str], _: Work) -> None:
        tasks = [asyncio.create_task(batcher.run(alone)) for _ in range(5)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, batcher.answer(["a"]), return_exceptions=True)
        assert found[1:] == ["done"] * 4 + [["aa"]]
        with pytest.raises(ZeroDivisionError):
            await batcher.run(lambda: 1 / 0)
        assert await batcher.answer(["b"]) == ["bb"]

    batching(ask)


def test_other_work_leaves_threads_to_texts() -> None:
    held, running = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        running.release()
        assert held.wait(10)

    async def ask(batcher: Batcher[str], _: Work) -> None:
        # The first is given up at once, but its thread goes on.
        tasks = [asyncio.create_task(batcher.run(hold)) for _ in range(3)]
        while not running.acquire(blocking=False):
            await asyncio.sleep(0.001)
        tasks[0].cancel()
        tasks[1].cancel()
        async with asyncio.timeout(5):
            assert await batcher.answer(["a"]) == ["aa"]
        assert not running.acquire(blocking=False)
        held.set()
        await tasks[2]

    try:
        batching(ask, threads=2)
    finally:
        held.set()
