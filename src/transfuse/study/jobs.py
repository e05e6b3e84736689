"""The runs of a study, on as many processes as there are cores.

Every finished run is a folder of its own, written beside and renamed; a study that is run again
does only what is missing.
"""

import multiprocessing
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from transfuse.errors import Problem, TrainingError, TransfuseError
from transfuse.models import Store, hold_memory, release_memory
from transfuse.study.cores import share_cores
from transfuse.study.failures import Failure, after_failure, failure
from transfuse.study.memory import with_memory
from transfuse.study.runs import Run, RunKey, load_run, write_run
from transfuse.study.watch import Watcher
from transfuse.transfer import (
    DELTA,
    THEN,
    Engines,
    Neural,
    Plan,
    Prepared,
    Workspace,
    run_plan,
    save_model,
)
from transfuse.tuning import Frozen

__all__ = ["Planned", "count_done", "run_all", "work"]


_CHEAP = 0.2
"""Share of the work of scoring that a run without training of layers comes to."""


@dataclass(frozen=True)
class Planned:
    """A run to be done."""

    key: RunKey
    plan: Plan
    keep: bool
    """Whether its model is kept."""

    weigh: bool = False
    """Whether the memory that a kept model takes to answer is measured."""

    after: tuple[RunKey, ...] = ()
    """The runs whose models it begins from."""

    said: Plan | None = None
    """The plan as the study says it, where the models of other runs have taken the place of their
    names: a study's folder may be moved, and its runs stay what they are."""


@dataclass(frozen=True)
class _Task:
    """What a worker is told to do."""

    key: RunKey
    plan: Plan
    said: Plan
    """The plan as its model will tell it, with `@name` in place of a folder of this machine."""

    folder: Path
    identity: str
    keep_model: bool
    weigh: bool


def work(run: Planned, prepared: Prepared) -> float:
    """About how long a run takes beside others: to start long runs first and tell the time left.

    Args:
        run: The run.
        prepared: The data.

    Returns:
        Rows that pass through the network, scored ones included.
    """
    plan = run.plan
    if run.key.task:
        prepared = prepared.of_task(run.key.task)
    domains = prepared.tasks.values() or (prepared.target, prepared.source)
    scored = sum(len(domain.parts.test) for domain in domains if domain)
    # What a stage takes depends on the stage; most read the rows a few times.
    scored *= 1 + 2 * len(plan.then)
    if not isinstance(plan.model, Neural):
        return _CHEAP * scored
    if isinstance(plan.tune, Frozen):
        return 2 * _CHEAP * scored
    clock = sum(
        len(prepared.training_rows(name, plan.budget, plan.seed, plan.shots))
        for name in (plan.streams if prepared.tasks else plan.streams[:1])
    )
    steps = plan.train.steps(max(1, clock // plan.train.batch_size))
    streams = sum(objective.share for objective in plan.learn if objective.streams)
    # Backward takes about as long as two forward passes.
    return scored + 3 * steps * plan.train.batch_size * streams


def count_done(plans: Sequence[Planned], known: Mapping[RunKey, str], folder: Path) -> int:
    """How many of a study's runs are finished already.

    Args:
        plans: The runs.
        known: What `identities` gave.
        folder: The study's folder of runs.
    """
    return sum(load_run(folder, each.key, known[each.key]) is not None for each in plans)


def run_all(
    plans: Sequence[Planned],
    known: Mapping[RunKey, str],
    prepared: Prepared,
    folder: Path,
    workers: int,
    watcher: Watcher,
) -> tuple[list[Run], dict[RunKey, Failure]]:
    """Do the runs that are missing and load all.

    A run that fails keeps none but those that begin from it from being done.

    Args:
        plans: The runs, each after those that it begins from.
        known: What `identities` gave.
        prepared: The data.
        folder: The study's folder of runs.
        workers: Processes at the most.
        watcher: What is told of each run.

    Returns:
        The finished runs, in order, and those that failed.

    Raises:
        TrainingError: If a process died, with what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {
        each.key: _Task(
            each.key,
            each.plan,
            each.said or each.plan,
            folder,
            known[each.key],
            each.keep,
            each.weigh,
        )
        for each in plans
    }
    planned = {each.key: each for each in plans}
    missing = {key for key, task in tasks.items() if not _finished(task)}
    for key in tasks:
        if key not in missing:
            watcher.on_run(key, "done")
    failed: dict[RunKey, Failure] = {}
    while missing:
        for each in plans:
            lost = after_failure(each.key, each.after, failed)
            if lost is not None and each.key in missing:
                _tell_failure(failed, lost, watcher)
        missing -= set(failed)
        # What begins from a run that is missing has to wait for it.
        ready = [e.key for e in plans if e.key in missing and not missing & set(e.after)]
        ready.sort(key=lambda key: -work(planned[key], prepared))
        if ready:
            waiting = [tasks[key] for key in ready]
            _do(waiting, prepared, min(workers, len(ready)), watcher, failed)
        missing -= set(ready)
    loaded = [load_run(folder, key, task.identity) for key, task in tasks.items()]
    return [run for run in loaded if run is not None and run.key not in failed], failed


def _tell_failure(failed: dict[RunKey, Failure], lost: Failure, watcher: Watcher) -> None:
    failed[lost.key] = lost
    watcher.on_run(lost.key, "failed")
    watcher.on_failure(lost.key, lost.error)


def _finished(task: _Task) -> bool:
    run = load_run(task.folder, task.key, task.identity)
    return run is not None and (run.model is not None or not task.keep_model)


def _do(
    tasks: Sequence[_Task],
    prepared: Prepared,
    workers: int,
    watcher: Watcher,
    failed: dict[RunKey, Failure],
) -> None:
    context = multiprocessing.get_context("spawn")
    todo, told = context.Queue(), context.Queue()
    # Tasks that no worker takes any more must not keep this process from ending.
    todo.cancel_join_thread()
    # Workers learn and score; what describes the data stays here.
    prepared = replace(prepared, cards={}, notes=())
    for task in tasks:
        todo.put(task)
    for _ in range(workers):
        todo.put(None)
    processes = [
        context.Process(target=_work, args=(prepared, number, workers, todo, told), daemon=True)
        for number in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        _listen(len(tasks), processes, told, watcher, failed)
    except BaseException:
        # After an error or Ctrl-C a worker saves a checkpoint at its next step and ends.
        for process in processes:
            if process.pid is not None:
                process.terminate()
        raise
    finally:
        for process in processes:
            if process.pid is not None:
                process.join()


def _listen(
    count: int,
    processes: Sequence[BaseProcess],
    told: "Queue[tuple[str, RunKey, TransfuseError | None]]",
    watcher: Watcher,
    failed: dict[RunKey, Failure],
) -> None:
    """Hand on what the workers tell until all tasks are done."""
    done = 0
    while done < count:
        try:
            event, key, error = told.get(timeout=1.0)
        except Empty:
            codes = [process.exitcode for process in processes]
            if any(code not in (None, 0) for code in codes) or None not in codes:
                raise TrainingError(
                    Problem(
                        "study",
                        "a worker process died; what it printed stands above",
                        fix="Run the same command again to go on. If memory ran out, "
                        "`study: {workers: 1}` needs less.",
                    )
                ) from None
            continue
        done += event != "start"
        if error is None:
            watcher.on_run(key, event)
        else:
            _tell_failure(failed, failure(key, error), watcher)


def _work(
    prepared: Prepared,
    number: int,
    workers: int,
    todo: "Queue[_Task | None]",
    told: "Queue[tuple[str, RunKey, TransfuseError | None]]",
) -> None:
    """One worker: as many runs as it gets, on cores of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    share_cores(number, workers)
    hold_memory()
    workspace = Workspace(prepared, Engines(), Store())
    while (task := todo.get()) is not None:
        told.put(("start", task.key, None))
        release_memory()
        try:
            _run_one(task, workspace)
        except TransfuseError as error:
            told.put(("failed", task.key, error))
        except KeyboardInterrupt:
            return
        else:
            told.put(("done", task.key, None))


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


def _run_one(task: _Task, workspace: Workspace) -> None:
    """Do one run and leave its folder, whole or not at all."""
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
