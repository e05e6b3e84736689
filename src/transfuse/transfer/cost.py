"""What a run costs: seconds, memory, latency."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import psutil

__all__ = ["CostMeter", "answering_costs", "latency_ms", "row_ms"]

_SINGLE = 11
_BULK = 128
_BULK_SECONDS = 0.3
_INTERVAL = 0.05
_MEGABYTE = 2**20


class CostMeter:
    """Seconds and peak resident memory of a block.

    Memory is sampled twenty times a second, since the kernel's own peak counts from the process's
    start and a process of a study does many runs.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_memory_mb = 0.0
        self._process = psutil.Process(os.getpid())
        self._done = threading.Event()

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            now = self._process.memory_info().rss / _MEGABYTE
            self.peak_memory_mb = max(self.peak_memory_mb, now)
            if self._done.wait(_INTERVAL):
                return


def latency_ms(answer: Callable[[Any], object], rows: Sequence[Any]) -> float:
    """The median time to answer for one row, in milliseconds.

    Args:
        answer: Answers for a row.
        rows: A few rows; the first is a warm-up.
    """
    times = []
    for row in rows:
        began = time.perf_counter()
        answer(row)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:] or times)


def row_ms(answer: Callable[[Sequence[Any]], object], rows: Sequence[Any]) -> float:
    """The time of a row among many, in milliseconds: the median pass over all of them.

    Args:
        answer: Answers for many rows.
        rows: The rows. They pass until 0.3 seconds are over, once at the least, after a part of
            them has passed as a warm-up.
    """
    if not len(rows):
        return 0.0
    answer(rows[:_SINGLE])
    times: list[float] = []
    while not times or sum(times) < _BULK_SECONDS:
        began = time.perf_counter()
        answer(rows)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times) / len(rows)


def answering_costs(
    answer: Callable[[Sequence[Any]], object], rows: Sequence[Any]
) -> dict[str, float]:
    """What an answer costs: `latency_ms` for a row by itself, `row_ms` for one among many.

    Args:
        answer: Answers for rows.
        rows: Rows of the kind that the model is for; 128 of them at the most are asked about.
    """
    return {
        "latency_ms": latency_ms(lambda row: answer([row]), rows[:_SINGLE]),
        "row_ms": row_ms(answer, rows[:_BULK]),
    }
