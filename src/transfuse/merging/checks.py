"""Before merging: do these models go together, and what will it take?

Everything but shapes and names is told from a few thousand weights of each matrix.
"""

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from transfuse.merging.base import Floats, Method
from transfuse.merging.crew import cores
from transfuse.merging.desk import Desk
from transfuse.merging.linear import Linear
from transfuse.merging.plan import Job, OutDtype, plan_merge
from transfuse.merging.storage import lost_in_bfloat16
from transfuse.merging.streamed import BLOCK, Streamed
from transfuse.merging.weights import Reader, Weights, open_weights

__all__ = ["Likeness", "MergeCheck", "check"]

_LOOKED_AT = 2048
"""Weights of each matrix."""

_TRIED_ON = 1 << 18
"""Weights that the method is timed on."""

_UNRELATED = 0.5
"""Below this cosine two models have hardly a weight in common; tuned ones are above 0.9."""

_SWALLOWED = 0.1
_STARTED = 45 << 20
_BUFFERS = 12
_SURVEYED = 96 << 20
_VOCABULARIES = ("vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")


@dataclass(frozen=True)
class Likeness:
    """How two models lie to each other: the median over their matrices.

    Args:
        first: The folder of one.
        second: The folder of the other.
        cosine: Of their weights about each one's mean: near 1 for models with one ancestor, near 0
            for models trained apart.
        distance: Of their weights, as a share of the first one's length.
        change_cosine: Of what they differ by from the base; None without a base.
        agreement: Share of the weights that both have changed in the same direction: 0.5 for
            tasks with nothing in common. None without a base.
    """

    first: Path
    second: Path
    cosine: float
    distance: float
    change_cosine: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class MergeCheck:
    """What was found before a merge.

    Args:
        likeness: Each pair of models; with a base also each model with it.
        lost_in_bfloat16: Share of the mean change that storing as bfloat16 would swallow, of the
            weights that it changes; None without a base.
        memory: Bytes of memory of its own that the merge will take, about.
        seconds: How long it will take, about.
        notes: What becomes of tensors that are not simply merged.
        warnings: Why the merge may not be worth much.
    """

    likeness: tuple[Likeness, ...]
    lost_in_bfloat16: float | None
    memory: int
    seconds: float
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return told


def check(
    folders: Sequence[Path],
    base: Path | None = None,
    *,
    method: Method | None = None,
    threads: int | None = None,
    out_dtype: OutDtype | None = None,
) -> MergeCheck:
    """Look at models that are to be merged, without merging them.

    Args:
        folders: The models.
        base: The model that they were tuned from. Default: none.
        method: How they will be merged. Default: linear.
        threads: How many threads will merge. Default: one for each core, up to 8.
        out_dtype: What will be stored. Default: as in the first model.

    Returns:
        What was found.

    Raises:
        ModelError: If they cannot be merged at all, with every reason.
    """
    method = method or Linear()
    method.check(len(folders), base is not None)
    models = [open_weights(Path(folder)) for folder in folders]
    before = None if base is None else open_weights(Path(base))
    plan = plan_merge(models, before, needs_base=method.needs_base, out_dtype=out_dtype)
    jobs = [job for job in plan.jobs if job.how == "mix"]
    samples = _samples(jobs, before is not None)
    paths = [model.folder for model in models]
    pairs = _pairs(samples, paths, None if before is None else before.folder)
    lost = None if before is None else _lost(samples)
    warnings = [
        *_unrelated(pairs, None if before is None else before.folder),
        *_other_vocabularies(models),
    ]
    if lost is not None and lost > _SWALLOWED and any(job.shape.dtype == "BF16" for job in jobs):
        warnings.append(
            f"bfloat16 would swallow {lost:.0%} of the mean change: store float32 or float16"
        )
    threads = threads or min(cores(), 8)
    return MergeCheck(
        likeness=tuple(pairs),
        lost_in_bfloat16=lost,
        memory=_memory(method, jobs, threads),
        seconds=_seconds(method, jobs, threads),
        notes=plan.notes,
        warnings=tuple(warnings),
    )


_Sample = tuple[Floats | None, list[Floats]]
"""A few weights of one matrix: the base's and each model's."""


def _samples(jobs: Sequence[Job], has_base: bool) -> list[_Sample]:
    desk = Desk()

    def read(reader: Reader, job: Job, place: int | None) -> Floats:
        stored = job.models[place] if place is not None else job.base
        assert stored is not None
        count = min(_LOOKED_AT, stored.size)
        held = np.empty(count, np.float32)
        reader.floats(stored, (stored.size - count) // 2, held, desk)
        return held

    found: list[_Sample] = []
    with Reader() as reader:
        for job in jobs:
            if len(job.shape.shape) < 2 or (has_base and job.base is None):
                continue
            start = read(reader, job, None) if has_base else None
            found.append((start, [read(reader, job, place) for place in range(len(job.models))]))
    return found


def _pairs(samples: Sequence[_Sample], paths: Sequence[Path], base: Path | None) -> list[Likeness]:
    found = []
    for one, other in combinations(range(len(paths)), 2):
        told = [_compared(models[one], models[other], start) for start, models in samples]
        found.append(Likeness(paths[one], paths[other], *_medians(told)))
    if base is not None:
        for place, path in enumerate(paths):
            told = [
                _compared(start, models[place], None)
                for start, models in samples
                if start is not None
            ]
            found.append(Likeness(base, path, *_medians(told)))
    return found


def _compared(
    first: Floats, second: Floats, base: Floats | None
) -> tuple[float, float, float | None, float | None]:
    one, other = first.astype(np.float64), second.astype(np.float64)
    cosine = _cosine(one - one.mean(), other - other.mean())
    length = float(np.linalg.norm(one))
    distance = float(np.linalg.norm(one - other)) / length if length else math.inf
    if base is None:
        return cosine, distance, None, None
    changes = one - base, other - base
    moved = (changes[0] != 0) & (changes[1] != 0)
    same = (changes[0] > 0) == (changes[1] > 0)
    agreement = float(same[moved].mean()) if moved.any() else math.nan
    return cosine, distance, _cosine(*changes), agreement


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else math.nan


def _medians(told: Sequence[Sequence[float | None]]) -> list[Any]:
    """The median of each column, over what is a number; None where none is."""
    medians: list[float | None] = []
    for column in zip(*told, strict=True):
        numbers = [value for value in column if value is not None and not math.isnan(value)]
        medians.append(statistics.median(numbers) if numbers else None)
    if not medians:
        return [math.nan, math.nan]
    return [math.nan if value is None else value for value in medians[:2]] + medians[2:]


def _unrelated(pairs: Sequence[Likeness], base: Path | None) -> list[str]:
    warnings = [
        f"{pair.second} and {pair.first} do not look like models of one ancestor: the cosine of "
        f"their weights is {pair.cosine:.2f}, where tuned models have more than 0.9"
        for pair in pairs
        if pair.cosine < _UNRELATED
    ]
    apart = [pair.distance for pair in pairs if pair.first != base]
    from_base = [pair.distance for pair in pairs if pair.first == base]
    if not warnings and apart and from_base and 2 * max(apart) < min(from_base):
        warnings.append(
            f"the models are nearer to each other ({max(apart):.2g} of their length) than to "
            f"{base} ({min(from_base):.2g}): it may not be what they were tuned from"
        )
    return warnings


def _lost(samples: Sequence[_Sample]) -> float | None:
    desk = Desk()
    lost = [
        lost_in_bfloat16(start, np.mean([weights - start for weights in models], axis=0), desk)
        for start, models in samples
        if start is not None
    ]
    numbers = [share for share in lost if not math.isnan(share)]
    return statistics.fmean(numbers) if numbers else None


def _other_vocabularies(models: Sequence[Weights]) -> list[str]:
    first = _vocabulary(models[0].folder)
    return [
        f"{model.folder} reads texts with another vocabulary than {models[0].folder}: rows of "
        "embeddings may not mean the same"
        for model in models[1:]
        if first is not None and (other := _vocabulary(model.folder)) is not None and other != first
    ]


def _vocabulary(folder: Path) -> Any:
    """What can be compared of a tokenizer; None where there is none."""
    for name in _VOCABULARIES:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    model: Mapping[str, Any] = told.get("model") or {}
    return model.get("vocab")


def _memory(method: Method, jobs: Sequence[Job], threads: int) -> int:
    count = max((len(job.models) for job in jobs), default=1)
    if not isinstance(method, Streamed):
        largest = max((job.models[0].size for job in jobs), default=0)
        return _STARTED + (count + 3) * largest * 4
    buffers = threads * (count + _BUFFERS) * BLOCK * 4
    return _STARTED + buffers + (_SURVEYED if method.surveys else 0)


def _seconds(method: Method, jobs: Sequence[Job], threads: int) -> float:
    """Timed on the first weights of the largest tensor, reading included."""
    if not jobs:
        return 0.0
    largest = max(jobs, key=lambda job: job.models[0].size)
    count, desk = min(_TRIED_ON, largest.models[0].size), Desk()
    began = time.perf_counter()
    with Reader() as reader:
        held = []
        for stored in (*largest.models, *filter(None, [largest.base])):
            weights = np.empty(count, np.float32)
            reader.floats(stored, 0, weights, desk)
            held.append(weights)
    base = held.pop() if method.needs_base else None
    method.combine(largest.name, base, held[: len(largest.models)])
    each = (time.perf_counter() - began) / max(count, 1)
    return each * sum(job.models[0].size for job in jobs) / threads
