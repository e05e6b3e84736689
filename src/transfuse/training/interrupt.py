"""Ctrl-C and SIGTERM end a run at the next step, after a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Interrupt", "interruptible"]


@dataclass
class Interrupt:
    """Whether somebody asked the run to stop."""

    asked: bool = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Inside, a first Ctrl-C or SIGTERM sets `asked`; a second Ctrl-C stops at once.

    Signals reach the main thread only; elsewhere nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    before = {kind: signal.signal(kind, handle) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
