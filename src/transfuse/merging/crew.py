"""Threads that take runs one after the other; numpy and files let them work side by side."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from transfuse.merging.desk import Desk
from transfuse.merging.layout import Writer
from transfuse.merging.weights import Reader

__all__ = ["Crew", "Worker", "cores"]

U = TypeVar("U")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """What one thread works with: its buffers and its open files."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.reader = Reader()
        self.writer = Writer()


class Crew(AbstractContextManager["Crew"]):
    """A few workers.

    Args:
        threads: How many.
    """

    def __init__(self, threads: int) -> None:
        self._workers = [Worker() for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """The crew, whose files and threads end with the block."""
        self._open.enter_context(self._pool)
        for worker in self._workers:
            self._open.enter_context(worker.reader)
            self._open.enter_context(worker.writer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files and let the threads go."""
        self._open.close()

    def do(self, work: Callable[[Worker, U], Any], units: Sequence[U]) -> list[Any]:
        """Do some work on each unit.

        Args:
            work: From a worker and a unit to an answer.
            units: What is worked on.

        Returns:
            The answer to each unit.
        """
        answers: list[Any] = [None] * len(units)
        ahead: Iterator[tuple[int, U]] = iter(enumerate(units))
        lock = Lock()

        def next_one() -> tuple[int, U] | None:
            with lock:
                return next(ahead, None)

        def stop() -> None:
            with lock:
                for _ in ahead:
                    pass

        def take(worker: Worker) -> None:
            try:
                # What is not finite is told at the end, by the tensor's name.
                with np.errstate(all="ignore"):
                    while (one := next_one()) is not None:
                        place, unit = one
                        answers[place] = work(worker, unit)
            finally:
                # After an error the others need not go on; it is raised below.
                stop()

        if len(self._workers) == 1 or len(units) == 1:
            take(self._workers[0])
            return answers
        running = [self._pool.submit(take, worker) for worker in self._workers]
        try:
            for each in running:
                each.result()
        finally:
            stop()
        return answers
