"""Making the tensors of a merge: groups of them are surveyed side by side, then mixed.

A method that is no `Streamed` gets its tensors whole, one after the other.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from transfuse.errors import ModelError, Problem
from transfuse.merging.base import Floats, Method
from transfuse.merging.crew import Crew, Worker
from transfuse.merging.heads import mean_of_rows
from transfuse.merging.journal import Journal
from transfuse.merging.layout import Layout
from transfuse.merging.linear import Linear
from transfuse.merging.order import content_order
from transfuse.merging.plan import Job, MergePlan
from transfuse.merging.report import Tell
from transfuse.merging.storage import TYPES, narrow
from transfuse.merging.streamed import Ask, Piece, Span, Streamed, answers, blocks
from transfuse.merging.weights import Stored

__all__ = ["Merge"]

_GROUP = 1 << 23
"""Numbers of a group of tensors, about: what is surveyed and journalled at a time."""

_SYNCED_EVERY = 2.0
"""Seconds between two entries of the journal, which wait for the disk."""


@dataclass(frozen=True)
class _Task:
    """A tensor, the method that makes it, and its models in that method's order."""

    job: Job
    method: Method
    found: Any = None

    def piece(self, worker: Worker, span: Span) -> Piece:
        """Read a run of every model."""
        tensors, based = self.job.models, self.method.needs_base
        if based:
            assert self.job.base is not None
            tensors = (self.job.base, *tensors)
        rows = worker.reader.rows(tensors, span.start, span.stop - span.start, worker.desk)
        base, models = (rows[0], rows[1:]) if based else (None, rows)
        return Piece(span, base, models, worker.desk)


class Merge:
    """One merge at work.

    Args:
        method: How to merge.
        plan: What becomes of each tensor.
        layout: Where each will lie; the files are there.
        crew: Who does it.
    """

    def __init__(self, method: Method, plan: MergePlan, layout: Layout, crew: Crew) -> None:
        self.layout = layout
        self.crew = crew
        self.broken: set[str] = set()
        order = tuple(range(len(plan.jobs[0].models)))
        mixed = [job for job in plan.jobs if job.how == "mix"]
        if isinstance(method, Streamed) and method.symmetric:
            order = content_order([[job.models[place] for job in mixed] for place in order])
            method = method.arranged(order)
        ways: Mapping[str, Method] = {"mix": method, "mean": Linear()}
        tasks = {}
        for job in plan.jobs:
            if job.how in ways:
                job = replace(job, models=tuple(job.models[place] for place in order))
            tasks[job.name] = _Task(job, ways.get(job.how, method))
        self.tasks = [tasks[name] for name in layout.places]

    def run(self, journal: Journal, tell: Tell | None) -> set[str]:
        """Make every tensor that the journal does not know of.

        Args:
            journal: Knows what is done and hears what is.
            tell: Hears how many tensors are done.

        Returns:
            The names of tensors with numbers that are not finite.
        """
        groups = self._groups()
        ahead = [number for number in range(len(groups)) if number not in journal.done]
        if ahead:
            self._survey_together()
        written: list[int] = []
        ends = list(accumulate(map(len, groups)))
        synced = time.monotonic()
        for number in ahead:
            self._make(self._surveyed([self.tasks[place] for place in groups[number]]))
            written.append(number)
            if time.monotonic() - synced >= _SYNCED_EVERY:
                journal.note(written, self._files(groups, written))
                written, synced = [], time.monotonic()
            if tell is not None:
                tell("merging", ends[number], ends[-1])
        journal.note(written, self._files(groups, written))
        return self.broken

    def _groups(self) -> list[range]:
        """The numbers of tasks that are worked on together."""
        begins, held = [0], 0
        for place, task in enumerate(self.tasks):
            size = self.layout.places[task.job.name].size
            if held and held + size > _GROUP:
                begins.append(place)
                held = 0
            held += size
        return [range(*pair) for pair in zip(begins, [*begins[1:], len(self.tasks)], strict=True)]

    def _files(self, groups: Sequence[range], numbers: Sequence[int]) -> set[Path]:
        names = [self.tasks[place].job.name for number in numbers for place in groups[number]]
        return {self.layout.places[name].file for name in names}

    def _survey_together(self) -> None:
        """Survey the whole model as one, where the method wants that."""
        mixed = {task.job.name: task for task in self.tasks if _surveyed_by(task) is not None}
        method = _surveyed_by(next(iter(mixed.values()))) if mixed else None
        if method is None or not method.together:
            return
        sizes = {name: task.job.models[0].size for name, task in mixed.items()}
        (found,) = answers([method.survey(sizes)], lambda asks: self._answer(asks, [mixed]))
        self.tasks = [
            replace(task, found=found) if task.job.name in mixed else task for task in self.tasks
        ]

    def _surveyed(self, tasks: Sequence[_Task]) -> list[_Task]:
        """The same tasks with what their surveys found, side by side."""
        made = list(tasks)
        surveys, places = [], []
        for place, task in enumerate(tasks):
            method = _surveyed_by(task)
            if method is not None and not method.together:
                surveys.append(method.survey({task.job.key: task.job.models[0].size}))
                places.append(place)
        sources = [{tasks[place].job.key: tasks[place]} for place in places]
        found = answers(surveys, lambda asks: self._answer(asks, sources))
        for place, one in zip(places, found, strict=True):
            made[place] = replace(tasks[place], found=one)
        return made

    def _answer(
        self, asks: Mapping[int, Ask], sources: Sequence[Mapping[str, _Task]]
    ) -> dict[int, list[Any]]:
        """Look at all that is asked, as one heap of runs."""

        def look(worker: Worker, unit: tuple[int, Span]) -> Any:
            place, span = unit
            return asks[place].look(sources[place][span.name].piece(worker, span))

        units = [(place, span) for place, ask in asks.items() for span in ask.spans]
        seen = iter(self.crew.do(look, units))
        return {place: [next(seen) for _ in ask.spans] for place, ask in asks.items()}

    def _make(self, tasks: Sequence[_Task]) -> None:
        """Write tensors."""
        streamed, whole = [], []
        for task in tasks:
            by_runs = task.job.how == "copy" or isinstance(task.method, Streamed)
            if task.job.how == "rows" or not by_runs:
                whole.append(task)
            else:
                size = self.layout.places[task.job.name].size
                streamed += [(task, span) for span in blocks({task.job.key: size})]
        self.crew.do(self._mix, streamed)
        for task in whole:
            # One at a time: such a method holds whole tensors, and may have threads of its own.
            self.crew.do(self._make_whole, [task])

    def _mix(self, worker: Worker, unit: tuple[_Task, Span]) -> None:
        task, span = unit
        job, count = task.job, span.stop - span.start
        if job.how == "copy":
            source = job.base or job.models[0]
            held = worker.desk.raw("copied", TYPES[source.dtype], count)
            worker.reader.raw(source, span.start, held)
            worker.writer.raw(self.layout.places[job.name], span.start, held)
            return
        assert isinstance(task.method, Streamed)
        out = worker.desk.floats("merged", count)
        task.method.mix(task.piece(worker, span), task.found, out)
        self._store(worker, job, span.start, out)

    def _make_whole(self, worker: Worker, task: _Task) -> None:
        job = task.job

        def whole(stored: Stored) -> Floats:
            weights = np.empty(stored.size, np.float32)
            worker.reader.floats(stored, 0, weights, worker.desk)
            return weights.reshape(stored.shape)

        models = [whole(stored) for stored in job.models]
        if job.how == "rows":
            merged = mean_of_rows(models, job.rows)
        else:
            before = whole(job.base) if task.method.needs_base and job.base else None
            merged = task.method.combine(job.key, before, models)
        flat = np.ascontiguousarray(merged, np.float32).reshape(-1)
        for span in blocks({job.key: flat.size}):
            self._store(worker, job, span.start, flat[span.start : span.stop])

    def _store(self, worker: Worker, job: Job, start: int, values: Floats) -> None:
        """Write a run as the type that the merged tensor is stored in."""
        place = self.layout.places[job.name]
        finite = bool(np.isfinite(values, out=worker.desk.flags("finite", len(values))).all())
        if not finite:
            self.broken.add(job.name)
        if place.dtype == "F32":
            worker.writer.raw(place, start, values)
            return
        held = worker.desk.raw("stored", TYPES[place.dtype], len(values))
        try:
            narrow(values, place.dtype, held, worker.desk, finite=finite)
        except FloatingPointError:
            raise ModelError(
                Problem(
                    job.name,
                    "a merged weight is too large for float16",
                    fix="Store the merged model as float32 or bfloat16 (out_dtype).",
                )
            ) from None
        worker.writer.raw(place, start, held)


def _surveyed_by(task: _Task) -> Streamed | None:
    method = task.method
    wanted = task.job.how == "mix" and task.job.models[0].size > 0
    return method if wanted and isinstance(method, Streamed) and method.surveys else None
