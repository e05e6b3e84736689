"""Texts (or pictures) of many requests gathered into batches, under a latency bound.

An idle server answers at once. While all threads are busy, texts gather by themselves; a thread
that becomes free waits for as many as the last batch had, since clients that were answered together
ask again together, but never longer than the bound. Texts that no thread has begun to read count
against the queue; where it is full, a request is turned away with the time after which it is worth
coming back.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

__all__ = ["Batcher", "FullError", "StoppedError"]

Answer = TypeVar("Answer")
Result = TypeVar("Result")

_BATCH_BYTES = 16_384
"""About 4,096 tokens: a batch of long texts would keep short ones behind it waiting."""

_MEMORY = 0.9
"""Share of the measured rate that stays with each new measurement."""


class FullError(Exception):
    """The queue has no room.

    Args:
        seconds: After how long it is worth coming back.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full, for about {seconds:.1f} s")
        self.seconds = seconds


class StoppedError(Exception):
    """The batcher takes on no more work."""


@dataclass(eq=False)
class _Request(Generic[Answer]):
    """Texts that came together, and how far they are."""

    texts: Sequence[Any]
    answered: "asyncio.Future[list[Answer]]"
    since: float
    answers: list[Answer | None] = field(init=False)
    taken: int = 0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.texts)
        self.left = len(self.texts)


@dataclass(frozen=True)
class _Part(Generic[Answer]):
    """Some texts of a request, from `start` on."""

    request: _Request[Answer]
    start: int
    texts: Sequence[Any]

    def give(self, answers: Sequence[Answer]) -> None:
        """Hand over the answers; with its last ones the request is done."""
        request = self.request
        request.answers[self.start : self.start + len(answers)] = answers
        request.left -= len(answers)
        if not request.left and not request.answered.done():
            request.answered.set_result(request.answers)  # type: ignore[arg-type]

    def fail(self, error: BaseException) -> None:
        """Hand over what went wrong."""
        if not self.request.answered.done():
            self.request.answered.set_exception(error)


class Batcher(Generic[Answer]):
    """Gathers texts for a function that answers several at once.

    All methods belong to one event loop; `compute` runs in the threads of `executor`.

    Args:
        compute: From texts to one answer for each.
        executor: The threads that it runs in.
        threads: How many calls of it may run at a time.
        max_batch: Texts of one call at the most.
        latency: Seconds that a text may wait for others.
        queue: Texts that may wait.
        patience: Seconds that a text may have to wait for its turn, as measured.
        weigh: About how many bytes of work a text is. Default: all count the same.
        watch: Told of the number of texts of each call. Default: nobody.
    """

    def __init__(
        self,
        compute: Callable[[list[Any]], Sequence[Answer]],
        executor: Executor,
        *,
        threads: int = 1,
        max_batch: int = 32,
        latency: float = 0.01,
        queue: int = 512,
        patience: float = math.inf,
        weigh: Callable[[Any], int] = lambda text: 1,
        watch: Callable[[int], None] = lambda texts: None,
    ) -> None:
        self._compute, self._executor = compute, executor
        self._weigh, self._watch = weigh, watch
        self._max_batch, self._latency = max_batch, latency
        self._capacity, self._patience = queue, patience
        self._threads = self._free = threads
        self._seats, self._alone = asyncio.Semaphore(threads), asyncio.Semaphore(1)
        self._waiting: OrderedDict[_Request[Answer], None] = OrderedDict()
        self._queued = 0
        self._filled, self._enough = asyncio.Event(), asyncio.Event()
        self._target = self._expected = 1
        self._idle_since = 0.0
        self._rate: float | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._dispatcher = asyncio.get_running_loop().create_task(self._dispatch())

    @property
    def queued(self) -> int:
        """Texts that wait and that no thread has begun to read."""
        return self._queued

    @property
    def rate(self) -> float | None:
        """Texts a second that were answered lately while there was work; None before the first."""
        return self._rate

    def wait_for(self, texts: int) -> float:
        """Seconds until so many texts more would have room and be answered, as measured.

        Args:
            texts: How many.
        """
        return (self._queued + texts) / self._rate if self._rate else 1.0

    async def answer(self, texts: Sequence[Any]) -> list[Answer]:
        """The answer to each text. Cancelling it takes out of the queue what nobody has begun.

        Args:
            texts: The texts of one request.

        Raises:
            FullError: If they find no room in the queue, or it moves too slowly.
            StoppedError: If the batcher takes on no more work.
        """
        if self._stopped:
            raise StoppedError
        if not texts:
            return []
        full = self._queued + len(texts) > self._capacity
        if full or (self._queued and self.wait_for(0) > self._patience):
            raise FullError(self.wait_for(0))
        loop = asyncio.get_running_loop()
        request: _Request[Answer] = _Request(texts, loop.create_future(), loop.time())
        self._waiting[request] = None
        self._queued += len(texts)
        self._filled.set()
        if self._queued >= self._target:
            self._enough.set()
        try:
            return await request.answered
        finally:
            self._forget(request)

    async def run(self, function: Callable[[], Result]) -> Result:
        """Call a function in one of the threads, in its turn: one at a time, as texts need some.

        Args:
            function: What to call.

        Raises:
            StoppedError: If the batcher takes on no more work.
        """
        if self._stopped:
            raise StoppedError
        await self._alone.acquire()
        try:
            await self._seats.acquire()
        except asyncio.CancelledError:
            self._alone.release()
            raise
        self._free -= 1
        found = asyncio.get_running_loop().run_in_executor(self._executor, function)
        found.add_done_callback(self._vacate)
        found.add_done_callback(lambda _: self._alone.release())
        # A thread cannot be stopped: whoever gives up waiting leaves it its seat.
        return await asyncio.shield(found)

    async def drain(self) -> None:
        """Take on no more, and wait until all that was taken on is answered."""
        self._stopped = True
        waiting = [request.answered for request in self._waiting]
        if waiting:
            await asyncio.wait(waiting)
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Take on no more, and give up what waits."""
        self._stopped = True
        tasks = [self._dispatcher, *self._running]
        for task in tasks:
            # The threads themselves cannot be stopped; nobody waits for them.
            task.cancel()
        for request in list(self._waiting):
            self._forget(request)
            if not request.answered.done():
                request.answered.set_exception(StoppedError())
        await asyncio.wait(tasks)

    def _forget(self, request: _Request[Answer]) -> None:
        """Take a request out of the queue, if it is still there."""
        if request in self._waiting:
            del self._waiting[request]
            self._queued -= len(request.texts) - request.taken
            if not self._waiting:
                self._filled.clear()

    async def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            await self._seats.acquire()
            await self._gather(loop)
            parts = self._take()
            if not parts:
                # Those who asked have gone.
                self._seats.release()
                continue
            self._free -= 1
            task = loop.create_task(self._answer(parts))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the batch is as large as the last one was, or the bound is reached."""
        if self._free == self._threads and loop.time() - self._idle_since > self._latency:
            # The last batch says nothing about those who come after a pause.
            self._expected = 1
        self._target = min(self._expected, self._max_batch)
        if self._stopped or self._queued >= self._target or not self._waiting:
            return
        self._enough.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(next(iter(self._waiting)).since + self._latency):
                await self._enough.wait()

    def _take(self) -> list[_Part[Answer]]:
        """The next texts to read: a fair share of what waits, where several threads are free."""
        room = min(self._max_batch, math.ceil(self._queued / max(1, self._free)))
        weight = _BATCH_BYTES
        parts: list[_Part[Answer]] = []
        while self._waiting and room and weight > 0:
            request = next(iter(self._waiting))
            start = end = request.taken
            while end < len(request.texts) and end - start < room and weight > 0:
                weight -= self._weigh(request.texts[end])
                end += 1
            parts.append(_Part(request, start, request.texts[start:end]))
            request.taken = end
            room -= end - start
            self._queued -= end - start
            if end == len(request.texts):
                del self._waiting[request]
        if not self._waiting:
            self._filled.clear()
        return parts

    async def _answer(self, parts: Sequence[_Part[Answer]]) -> None:
        loop = asyncio.get_running_loop()
        texts = [text for part in parts for text in part.texts]
        self._watch(len(texts))
        began, busy = loop.time(), self._threads - self._free
        try:
            found = loop.run_in_executor(self._executor, self._compute, texts)
            await asyncio.wait([found])
            self._measure(len(texts) * busy, loop.time() - began)
            self._expected = len(texts)
            if found.exception() is None or len(parts) == 1:
                _hand_over(parts, found)
                return
            # One request's text may have done it; the others shall not suffer for it.
            for part in parts:
                alone = loop.run_in_executor(self._executor, self._compute, list(part.texts))
                await asyncio.wait([alone])
                _hand_over([part], alone)
        except asyncio.CancelledError:
            for part in parts:
                part.fail(StoppedError())
            raise
        finally:
            self._vacate()

    def _vacate(self, done: "asyncio.Future[Any] | None" = None) -> None:
        """Free a thread's seat."""
        if done is not None and not done.cancelled():
            # Seen here, since whoever asked may have gone.
            done.exception()
        self._free += 1
        self._idle_since = asyncio.get_running_loop().time()
        self._seats.release()

    def _measure(self, texts: int, seconds: float) -> None:
        rate = texts / max(seconds, 1e-6)
        self._rate = rate if self._rate is None else _MEMORY * self._rate + (1 - _MEMORY) * rate


def _hand_over(parts: Sequence[_Part[Answer]], found: "asyncio.Future[Sequence[Answer]]") -> None:
    """Give each part its answers, or what went wrong."""
    if (error := found.exception()) is not None:
        for part in parts:
            part.fail(error)
        return
    answers, place = found.result(), 0
    for part in parts:
        part.give(answers[place : place + len(part.texts)])
        place += len(part.texts)
