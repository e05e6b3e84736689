"""The processes that do a study's runs, each leaving its folder whole or not at all."""

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Self

from transfuse.errors import Problem, TrainingError, TransfuseError
from transfuse.models import Store, hold_memory, release_memory
from transfuse.study.cores import share_cores
from transfuse.study.failures import Failure, failure
from transfuse.study.memory import with_memory
from transfuse.study.runs import RunKey, write_run
from transfuse.study.watch import Watcher
from transfuse.transfer import (
    DELTA,
    THEN,
    Engines,
    Plan,
    Prepared,
    Workspace,
    run_plan,
    save_model,
)

__all__ = ["Task", "Workers"]

_Event = tuple[str, RunKey, TransfuseError | None]
"""What a worker tells: of which run what happened, and what it failed of."""


@dataclass(frozen=True)
class Task:
    """What a worker is told to do."""

    key: RunKey
    plan: Plan
    said: Plan
    """The plan as its model will tell it, with `@name` in place of a folder of this machine."""

    folder: Path
    identity: str
    keep_model: bool
    weigh: bool


class Workers:
    """Processes, which stay for as long as there is work for as many of them.

    Args:
        prepared: The data.
        watcher: What is told of each run.
        failed: Takes up the runs that fail.
    """

    def __init__(self, prepared: Prepared, watcher: Watcher, failed: dict[RunKey, Failure]) -> None:
        # Workers learn and score; what describes the data stays here.
        self._prepared = replace(prepared, cards={}, notes=())
        self._watcher = watcher
        self._failed = failed
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            # After an error or Ctrl-C a worker saves a checkpoint at its next step and ends.
            for process in self._processes:
                process.terminate()
        self._dismiss()

    def fail(self, lost: Failure) -> None:
        """Take up a run that failed, or that begins from one.

        Args:
            lost: The run, and why.
        """
        self._failed[lost.key] = lost
        self._watcher.on_run(lost.key, "failed")
        self._watcher.on_failure(lost.key, lost.error)

    def do(self, tasks: Sequence[Task], workers: int) -> None:
        """Do tasks that do not wait for each other.

        Args:
            tasks: The tasks.
            workers: Processes at the most; 0 for this one.

        Raises:
            TrainingError: If a process died, with what to do.
        """
        if not workers:
            for task in tasks:
                _attempt(task, self._here, self._hear)
            return
        size = min(workers, len(tasks))
        # Fewer processes have more cores each.
        if size and size != len(self._processes):
            self._dismiss()
            self._hire(size)
        for task in tasks:
            self._todo.put(task)
        self._listen(len(tasks))

    @cached_property
    def _here(self) -> Workspace:
        """Where the runs are done that no worker does."""
        return Workspace(self._prepared, Engines(), Store())

    def _hire(self, size: int) -> None:
        self._todo: Queue[Task | None] = self._context.Queue()
        self._told: Queue[_Event] = self._context.Queue()
        # Tasks that no worker takes any more must not keep this process from ending.
        self._todo.cancel_join_thread()
        for number in range(size):
            arguments = (self._prepared, number, size, self._todo, self._told)
            process = self._context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)

    def _dismiss(self) -> None:
        for _ in self._processes:
            self._todo.put(None)
        while self._processes:
            self._processes.pop().join()

    def _listen(self, count: int) -> None:
        """Hand on what the workers tell until all tasks are done."""
        while count:
            try:
                told = self._told.get(timeout=1.0)
            except Empty:
                if any(process.exitcode is not None for process in self._processes):
                    raise TrainingError(
                        Problem(
                            "study",
                            "a worker process died; what it printed stands above",
                            fix="Run the same command again to go on. If memory ran out, "
                            "`study: {workers: 1}` needs less.",
                        )
                    ) from None
                continue
            self._hear(told)
            count -= told[0] != "start"

    def _hear(self, told: _Event) -> None:
        event, key, error = told
        if error is None:
            self._watcher.on_run(key, event)
        else:
            self.fail(failure(key, error))


def _work(
    prepared: Prepared,
    number: int,
    workers: int,
    todo: "Queue[Task | None]",
    told: "Queue[_Event]",
) -> None:
    """One worker: as many runs as it gets, on cores of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    share_cores(number, workers)
    hold_memory()
    workspace = Workspace(prepared, Engines(), Store())
    try:
        while (task := todo.get()) is not None:
            _attempt(task, workspace, told.put)
    except KeyboardInterrupt:
        return


def _attempt(task: Task, workspace: Workspace, tell: Callable[[_Event], None]) -> None:
    """Do one run, and tell of it."""
    tell(("start", task.key, None))
    release_memory()
    try:
        _run_one(task, workspace)
    except TransfuseError as error:
        tell(("failed", task.key, error))
    else:
        tell(("done", task.key, None))


def _clear_other(beside: Path, identity: str) -> None:
    """Leave in a run's working folder only what the same run began."""
    mark = beside / "identity"
    if not mark.exists() or mark.read_text(encoding="utf-8") != identity:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        mark.write_text(identity, encoding="utf-8")


def _end_with_parent() -> None:
    """End this worker when the study is killed; an orphan would go on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # Nothing half-done has a final name, so there is nothing to clear away.
    os._exit(1)


def _run_one(task: Task, workspace: Workspace) -> None:
    """Do one run and leave its folder."""
    place = task.folder / task.key.folder
    beside = task.folder / f"{task.key.folder}.new"
    shutil.rmtree(place, ignore_errors=True)
    _clear_other(beside, task.identity)
    if task.key.task:
        workspace = workspace.of_task(task.key.task)
    outcome = replace(run_plan(task.plan, workspace, beside), plan=task.said)
    shutil.rmtree(beside / "model", ignore_errors=True)
    if task.keep_model:
        save_model(outcome, workspace, beside / "model", beside)
        if task.weigh:
            outcome = with_memory(outcome, workspace, beside / "model")
    write_run(outcome, task.identity, beside)
    for part in (DELTA, THEN, "checkpoint"):
        shutil.rmtree(beside / part, ignore_errors=True)
    beside.rename(place)
