"""The runs of a study, on as many processes as there are cores.

Every finished run is a folder of its own, written beside and renamed; a study that is run again
does only what is missing.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from transfuse.errors import Problem, TrainingError, TransfuseError
from transfuse.models import Store, hold_memory, release_memory
from transfuse.study.cores import share_cores
from transfuse.study.runs import Run, RunKey, load_run, write_run
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
from transfuse.transfer.start import content_of, model_folders
from transfuse.tuning import Frozen

__all__ = ["Planned", "count_done", "identities", "run_all", "work"]


_CHEAP = 0.2
"""Share of the work of scoring that a run without training of layers comes to."""


@dataclass(frozen=True)
class Planned:
    """A run to be done."""

    key: RunKey
    plan: Plan
    keep: bool
    """Whether its model is kept."""

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


def identities(plans: Sequence[Planned], prepared: Prepared) -> dict[RunKey, str]:
    """Fingerprint of every run: its plan, its data, and the runs that it begins from.

    Args:
        plans: The runs, each after those that it begins from.
        prepared: The data.
    """
    names = ("torch", "transformers", "peft", "scikit-learn")
    versions = {name: version(name) for name in names}
    # All rows and all weights are read for these, so once for the study and not for each run.
    data = prepared.fingerprint
    contents: dict[tuple[Path, ...], str] = {}
    found: dict[RunKey, str] = {}
    for each in plans:
        plan = each.said or each.plan
        folders = model_folders(plan)
        if folders not in contents:
            contents[folders] = content_of(folders)
        before = [found[key] for key in each.after]
        told = [plan.work(), data, contents[folders], versions, *before]
        text = json.dumps(told, sort_keys=True, default=str)
        found[each.key] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return found


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
    on_event: Callable[[RunKey, str], None],
) -> list[Run]:
    """Do the runs that are missing and load all.

    Args:
        plans: The runs, each after those that it begins from.
        known: What `identities` gave.
        prepared: The data.
        folder: The study's folder of runs.
        workers: Processes at the most.
        on_event: Called with a run's key and `start` or `done`.

    Returns:
        One finished run for each plan, in order.

    Raises:
        TransfuseError: Whatever a run raised; runs that are finished stay finished.
        TrainingError: If a process died, with what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {
        each.key: _Task(
            each.key, each.plan, each.said or each.plan, folder, known[each.key], each.keep
        )
        for each in plans
    }
    planned = {each.key: each for each in plans}
    missing = {key for key, task in tasks.items() if not _finished(task)}
    for key in tasks:
        if key not in missing:
            on_event(key, "done")
    while missing:
        # What begins from a run that is missing has to wait for it.
        ready = [e.key for e in plans if e.key in missing and not missing & set(e.after)]
        ready.sort(key=lambda key: -work(planned[key], prepared))
        _do([tasks[key] for key in ready], prepared, min(workers, len(ready)), on_event)
        missing -= set(ready)
    loaded = [load_run(folder, key, task.identity) for key, task in tasks.items()]
    return [run for run in loaded if run is not None]


def _finished(task: _Task) -> bool:
    run = load_run(task.folder, task.key, task.identity)
    return run is not None and (run.model is not None or not task.keep_model)


def _do(
    tasks: Sequence[_Task],
    prepared: Prepared,
    workers: int,
    on_event: Callable[[RunKey, str], None],
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
        _listen(len(tasks), processes, told, on_event)
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
    on_event: Callable[[RunKey, str], None],
) -> None:
    """Hand on what the workers tell until all tasks are done."""
    errors: list[TransfuseError] = []
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
        if error is not None:
            errors.append(
                type(error)(
                    replace(problem, where=f"{key.recipe}, {_rows_of(key)}: {problem.where}")
                    for problem in error.problems
                )
            )
        done += event != "start"
        on_event(key, event)
    if errors:
        raise type(errors[0])(problem for error in errors for problem in error.problems)


def _rows_of(key: RunKey) -> str:
    return f"{key.task}, {key.budget} labels" if key.task else f"{key.budget} labels"


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
    write_run(outcome, task.identity, beside)
    for part in (DELTA, THEN, "checkpoint"):
        shutil.rmtree(beside / part, ignore_errors=True)
    beside.rename(place)
