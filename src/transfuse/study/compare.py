"""A study: recipes x budgets x seeds on one split, and what the differences are worth."""

import json
import platform
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfuse.answering import load_model
from transfuse.errors import DataError, Problem
from transfuse.files import write_whole
from transfuse.study.across import analyse_tasks
from transfuse.study.analysis import analyse
from transfuse.study.choosing import chosen
from transfuse.study.cores import cores_here
from transfuse.study.explained import EXPLAINED, explained_rows, explained_run
from transfuse.study.failures import complete, notes_on, raise_for
from transfuse.study.identity import identities
from transfuse.study.jobs import Planned, count_done, run_all, work
from transfuse.study.matches import shown_matches
from transfuse.study.numbers import MEAN, Number, as_columns
from transfuse.study.order import begun_from_others, reads_labels
from transfuse.study.plan import Comparison, StudyPlan, read_study
from transfuse.study.runs import Run, RunKey
from transfuse.study.scenes import shown_scenes
from transfuse.study.tasks import budgeted_tasks
from transfuse.study.watch import Watcher
from transfuse.transfer import Domain, Plan, Prepared, prepare
from transfuse.transfer.lock import claimed

__all__ = ["compare"]


def compare(
    recipe: Mapping[str, Any] | StudyPlan, output: Path | str, *, watcher: Watcher | None = None
) -> Path:
    """Do a study and keep its numbers.

    The same call on the same folder goes on where it stopped, run by run. A run that fails ends
    none but those that begin from it; it is tried again by the next call.

    Args:
        recipe: The study's recipe, or its plan.
        output: The study's folder.
        watcher: What is told of the progress. Default: nobody.

    Returns:
        The folder, with `study.parquet` (every number), `study.json` (what was compared) and the
        best model in `model`, if one was kept.

    Raises:
        RecipeError: If the recipe is not right.
        DataError: If the data cannot carry it.
        StudyError: At the end, if runs failed; the others are compared and all is written.
        TransfuseError: What the first run raised, if none is left to compare.
        RunLockedError: If another process works in the folder.
    """
    study = recipe if isinstance(recipe, StudyPlan) else read_study(recipe)
    watcher = watcher or Watcher()
    folder = Path(output)
    with claimed(folder):
        began = time.monotonic()
        watcher.on_notice("reading and checking the data")
        prepared = prepare(study.shared)
        for note in prepared.notes:
            watcher.on_notice(note)
        _check_parts(prepared)
        tasks = begun_from_others(_runs_of(study, prepared), folder / "runs")
        workers = study.comparison.processes
        watcher.on_begin({each.key: work(each, prepared) for each in tasks}, workers)
        known = identities(tasks, prepared)
        before = count_done(tasks, known, folder / "runs")
        done, failed = run_all(tasks, known, prepared, folder / "runs", workers, watcher)
        runs = complete(done, failed.values())
        if not runs:
            raise next(iter(failed.values())).error
        watcher.on_notice("comparing")
        look = analyse_tasks if prepared.tasks else analyse
        numbers = look(study, prepared, runs)
        best = chosen(study, prepared, runs)
        if study.comparison.keep != "none" and best is not None and best.model is not None:
            _keep(best.model, folder / "model")
        explained_of = None if best is None else known.get(best.key)
        _explain(folder, best, study, prepared, watcher, explained_of)
        _show(folder, best, runs, study, prepared)
        seconds = _seconds(folder, began, done, before)
        told = _description(study, prepared, numbers, seconds, best)
        if failed:
            told["failed"] = [each.to_json() for each in failed.values()]
            told["notes"] += notes_on(study.plans, study.baselines, failed.values(), runs)
        pq.write_table(pa.table(as_columns(numbers)), folder / ".study.parquet.new")
        (folder / ".study.parquet.new").replace(folder / "study.parquet")
        write_whole(folder / "study.json", json.dumps(told, indent=2, ensure_ascii=False))
        raise_for(failed)
    return folder


def _check_parts(prepared: Prepared) -> None:
    """Intervals need several documents to be drawn from; better said before than after the runs."""
    for domain in prepared.tasks.values() or (prepared.target, prepared.source):
        if domain is not None and len(set(domain.documents(domain.parts.test))) < 2:
            raise DataError(
                Problem(
                    domain.table.name,
                    f"{len(domain.parts.test)} test rows in fewer than two documents",
                    "at least two test documents, to put intervals on scores",
                    "Raise `split.test`, or name another `group` column.",
                )
            )


def _runs_of(study: StudyPlan, prepared: Prepared) -> list[Planned]:
    """Every run, in the order of the study."""
    comparison = study.comparison
    keep = comparison.keep != "none"
    # It takes a process for each kept model: only where models are made lighter or put together.
    weigh = any(plan.then for plan in study.plans.values())
    runs = []
    for name, plan in study.plans.items():
        labelled = reads_labels(name, study.plans)
        budgeted = _budgeted(comparison, plan, prepared) if labelled else {0: plan}
        for budget, limited in budgeted.items():
            for seed in comparison.seeds:
                seeded = replace(limited, seed=seed)
                kept = keep and budget == max(budgeted) and seed == comparison.seeds[0]
                if plan.alone:
                    # A network for each task; none of them is the model of the study.
                    runs += [
                        Planned(RunKey(name, budget, seed, task), seeded.of_task(task), keep=False)
                        for task in plan.tasks
                    ]
                else:
                    runs.append(Planned(RunKey(name, budget, seed), seeded, kept, weigh))
    return runs


def _budgeted(comparison: Comparison, plan: Plan, prepared: Prepared) -> dict[int, Plan]:
    """A recipe at each budget, by the labelled target rows that it is given."""
    if plan.tasks:
        return budgeted_tasks(comparison, plan, prepared)
    classes = _outputs(prepared)
    shots = comparison.shots
    if not comparison.budgets and not shots and plan.shots is not None:
        shots = (plan.shots,)
    if shots:
        return {each * classes: replace(plan, budget=None, shots=each) for each in shots}
    every = plan.budget or len(prepared.target.parts.train)
    return {each: replace(plan, budget=each, shots=None) for each in comparison.budgets or (every,)}


def _explain(
    folder: Path,
    best: Run | None,
    study: StudyPlan,
    prepared: Prepared,
    watcher: Watcher,
    identity: str | None,
) -> None:
    """Leave why the kept model answers some test rows as it does, where it has one task."""
    kept = best is not None and best.model is not None and study.comparison.keep != "none"
    if kept and identity is not None and explained_run(folder) == identity:
        return
    (folder / EXPLAINED).unlink(missing_ok=True)
    if not kept or prepared.tasks:
        return
    assert best is not None
    watcher.on_notice("explaining some answers")
    tested = prepared.target.table.take(prepared.target.parts.test)
    model = load_model(folder / "model")
    names = prepared.target.task.label_names
    explained_rows(folder, model, tested, best.scores, names, identity or "")


def _show(
    folder: Path, best: Run | None, runs: Sequence[Run], study: StudyPlan, prepared: Prepared
) -> None:
    """Leave what the best recipe and the first baseline see in some test pictures."""
    if prepared.tasks or best is None:
        return
    names = dict.fromkeys((best.key.recipe, *study.baselines[:1]))
    most = max(run.key.budget for run in runs)
    ranked = sorted(runs, key=lambda run: (-run.key.budget, run.key.seed))
    found = {}
    for name in names:
        own = [run for run in ranked if run.key.recipe == name]
        own = [run for run in own if run.key.budget in (most, 0, best.key.budget)]
        if own:  # A baseline may have failed.
            found[study.plans[name].title or name] = own[0].scores
    tested = prepared.target.table.take(prepared.target.parts.test)
    shown_scenes(folder, prepared.target.task, tested, found)
    shown_matches(folder, prepared.target.task, tested, best.scores, next(iter(found)))


def _keep(model: Path, place: Path) -> None:
    """A copy of the model under the study, whole or not at all."""
    beside = place.with_name("model.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(model, beside)
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def _seconds(folder: Path, began: float, done: Sequence[Run], before: int) -> float | None:
    """The study's wall time: of this call, if it did all runs; else what an earlier call told."""
    if not before:
        return time.monotonic() - began
    try:
        told = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return told["seconds"] if before == len(done) else None


def _headline(study: StudyPlan, numbers: Sequence[Number], best: Run | None) -> dict[str, Any]:
    """The gain that a report opens with: of the recipe that validated best, over a baseline."""
    gains = [
        (row, number)
        for row, number in enumerate(numbers)
        if number.kind == "gain"
        and number.baseline == study.baselines[0]
        and number.split in ("", MEAN)
    ]
    if not gains:
        return {}
    budget = max(number.budget for _, number in gains)
    chosen = [pair for pair in gains if best is not None and pair[1].recipe == best.key.recipe]
    if not chosen:
        return {}
    row, number = next((pair for pair in chosen if pair[1].budget == budget), chosen[-1])
    return {
        "recipe": number.recipe,
        "budget": number.budget,
        "baseline": number.baseline,
        "row": row,
    }


def _description(
    study: StudyPlan,
    prepared: Prepared,
    numbers: Sequence[Number],
    seconds: float | None,
    best: Run | None,
) -> dict[str, Any]:
    target = prepared.target
    names = ("transfuse", "torch", "transformers", "peft", "datasets", "scikit-learn")
    return {
        "name": study.name,
        "title": study.title,
        "description": study.description,
        "primary_metric": target.task.primary,
        "budgets": [
            *study.comparison.budgets,
            *(shots * _outputs(prepared) for shots in study.comparison.shots),
        ],
        "seeds": list(study.comparison.seeds),
        "recipes": [
            {
                "name": name,
                "title": plan.title or name,
                "description": plan.description,
                "baseline": name in study.baselines,
                "recipe": plan.recipe(),
            }
            for name, plan in study.plans.items()
        ],
        "baselines": list(study.baselines),
        "reference": study.reference,
        "labels": [] if prepared.tasks else list(target.task.label_names),
        "rows": _rows(prepared.tasks.values() or (target,)),
        **({"tasks": _tasks(prepared)} if prepared.tasks else {}),
        "data": {use: card.to_json() for use, card in prepared.cards.items()},
        "notes": list(prepared.notes),
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": cores_here(),
            **{name: version(name) for name in names},
        },
        "kept": None if best is None or best.model is None else best.key.recipe,
        "seconds": seconds,
        "headline": _headline(study, numbers, best) if study.baselines else {},
    }


def _outputs(prepared: Prepared) -> int:
    """The classes that are learnt, of all tasks together."""
    domains = prepared.tasks.values() or (prepared.target,)
    return sum(len(domain.task.label_names) or 1 for domain in domains)


def _rows(domains: Iterable[Domain]) -> dict[str, int]:
    counts = {"train": 0, "validation": 0, "test": 0, "test_documents": 0}
    for domain in domains:
        counts["train"] += len(domain.parts.train)
        counts["validation"] += len(domain.parts.validation)
        counts["test"] += len(domain.parts.test)
        counts["test_documents"] += len(set(domain.documents(domain.parts.test)))
    return counts


def _tasks(prepared: Prepared) -> dict[str, Any]:
    """What each of several tasks is."""
    return {
        name: {
            "primary_metric": domain.task.primary,
            "labels": list(domain.task.label_names),
            "rows": _rows([domain]),
        }
        for name, domain in prepared.tasks.items()
    }
