"""Dividing the machine among worker processes."""

import os

import torch

__all__ = ["cores_here", "share_cores", "threads_of"]


def cores_here() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """How many threads each of some processes has, or this one where there are none.

    Args:
        workers: How many processes there are.
    """
    return max(1, cores_here() // max(1, workers))


def share_cores(number: int, workers: int) -> None:
    """Give this worker its part of the cores and as many threads.

    One-thread processes that stay on their cores do more together than one process with as many
    threads, since small matrices divide badly.

    Args:
        number: Which worker this is, from 0.
        workers: How many there are.
    """
    threads = threads_of(workers)
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        mine = cores[number * threads : (number + 1) * threads]
        if mine:
            os.sched_setaffinity(0, mine)
