"""What a run costs: seconds, memory, latency."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import psutil

__all__ = ["CostMeter", "latency_ms"]

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


def latency_ms(answer: Callable[[str], object], texts: Sequence[str]) -> float:
    """The median time to answer for one text, in milliseconds.

    Args:
        answer: Answers for a text.
        texts: A few texts; the first is a warm-up.
    """
    times = []
    for text in texts:
        began = time.perf_counter()
        answer(text)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:] or times)
