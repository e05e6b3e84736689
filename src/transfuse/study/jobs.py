"""The runs of a study, on as many processes as there are cores.

Every finished run is a folder of its own, written beside and renamed; a study that is run again
does only what is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfuse.study.failures import Failure, after_failure
from transfuse.study.runs import Run, RunKey, load_run
from transfuse.study.watch import Watcher
from transfuse.study.workers import Task, Workers
from transfuse.transfer import Neural, Plan, Prepared
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
        workers: Processes at the most; 0 does all runs in this one.
        watcher: What is told of each run.

    Returns:
        The finished runs, in order, and those that failed.

    Raises:
        TrainingError: If a process died, with what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {
        each.key: Task(
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
    with Workers(prepared, watcher, failed) as crew:
        while missing:
            for each in plans:
                lost = after_failure(each.key, each.after, failed)
                if lost is not None and each.key in missing:
                    crew.fail(lost)
            missing -= set(failed)
            # What begins from a run that is missing has to wait for it.
            ready = [e.key for e in plans if e.key in missing and not missing & set(e.after)]
            ready.sort(key=lambda key: -work(planned[key], prepared))
            crew.do([tasks[key] for key in ready], workers)
            missing -= set(ready)
    loaded = [load_run(folder, key, task.identity) for key, task in tasks.items()]
    return [run for run in loaded if run is not None and run.key not in failed], failed


def _finished(task: Task) -> bool:
    run = load_run(task.folder, task.key, task.identity)
    return run is not None and (run.model is not None or not task.keep_model)
