"""One recipe on one seed: from a plan and its data to a model that was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import load_model
from transfuse.data import seed_for
from transfuse.errors import ModelError, Problem
from transfuse.evaluation import Scorecard, apply_temperature, evaluate, fit_temperature
from transfuse.objectives import rows_of
from transfuse.training import Callback, fit, writes
from transfuse.transfer.choices import Folders, Neural, Tfidf
from transfuse.transfer.classical import fit_classical
from transfuse.transfer.cost import CostMeter, answering_costs
from transfuse.transfer.domains import Domain, Prepared
from transfuse.transfer.jobs import Rows, align_source, digest, make_job, read_streams
from transfuse.transfer.plan import Plan
from transfuse.transfer.start import check_start
from transfuse.transfer.task_outcome import TaskOutcome, joint_card
from transfuse.transfer.trained import Trained, TrainedClassical, TrainedFolder, TrainedNetwork
from transfuse.transfer.without_labels import zero_shot
from transfuse.transfer.workspace import Workspace
from transfuse.transfer.zero_shot import ZeroShot

__all__ = ["DELTA", "Outcome", "learnt_keys", "measured", "run_once"]

_ASKED = 128
"""Test texts that the time of an answer is measured on."""

DELTA = "delta"
"""Where a run leaves what moved on its own, such as an adapter."""


@dataclass(frozen=True)
class Outcome:
    """What one run leaves in memory."""

    plan: Plan
    trained: Trained
    scorecard: Scorecard
    scores: NDArray[np.float64]
    """Scores of the target's test rows before temperature scaling, [n, outputs]."""

    validation_scores: NDArray[np.float64]
    """The same for the target's validation rows."""

    source_scores: NDArray[np.float64] | None
    """The same for the source's test rows, where the head answers for them."""

    rows: Rows
    """The rows that were learnt from, by stream."""

    ablated: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Scores of the target's test rows by the columns that were left; see `Trained.ablated`."""

    chosen: Mapping[str, Any] = field(default_factory=dict)
    """What a search has chosen, by the path in the recipe."""

    tasks: Mapping[str, TaskOutcome] = field(default_factory=dict)
    """With several tasks, what was measured on each; scores above are those of the first."""

    learnt: frozenset[bytes] = frozenset()
    """Content keys of rows that the models have learnt which this one is made of."""

    made: tuple[Mapping[str, Any], ...] = ()
    """What each stage after training did, and how the model compares with those before."""


def run_once(
    plan: Plan,
    workspace: Workspace,
    folder: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Do what a plan says, as it stands, and measure it.

    Args:
        plan: The plan.
        workspace: Data, engine and feature store.
        folder: Where checkpoints and adapters are kept. Default: nowhere.
        callbacks: What watches training.

    Returns:
        The model and its measurements.

    Raises:
        DataError: If the data cannot carry the plan.
        ModelError: If the model cannot be loaded or does not fit.
        TrainingError: If training fails.
    """
    check_start(plan, workspace.prepared)
    rows = {
        name: workspace.prepared.training_rows(name, plan.budget, plan.seed, plan.shots)
        for name in plan.streams
    }
    with CostMeter() as meter:
        if isinstance(plan.model, Tfidf):
            trained = _train_classical(plan, plan.model, workspace, rows)
        elif isinstance(plan.model, ZeroShot):
            trained = zero_shot(plan, plan.model, workspace)
        elif isinstance(plan.model, Folders):
            # Scores of a run are those before temperature scaling.
            first = replace(load_model(plan.model.folders[0]), temperature=1.0)
            trained = TrainedFolder(first, workspace, plan.names_labels)
        else:
            trained = _train_network(plan, plan.model, workspace, rows, folder, callbacks)
    if workspace.prepared.tasks:
        return _of_tasks(plan, workspace, trained, rows, meter, folder)
    target = workspace.prepared.target
    tested = target.parts.test
    scores = trained.rows("target", tested)
    checked = trained.rows("target", target.parts.validation)
    source_scores = None
    if workspace.prepared.source is not None and workspace.prepared.shared_head:
        source_scores = trained.rows("source", workspace.prepared.source.parts.test)
    ablated = trained.ablated("target", tested)
    some_rows = target.table.take(tested[:_ASKED]).inputs(trained.reads)
    trained.finish(plan, folder / DELTA if folder is not None and writes() else None)
    # A recipe that learns without labels of the target is not calibrated by any either.
    asked = checked if plan.reads_labels else checked[:0]
    metrics, temperature = measured(workspace.prepared, scores, asked, source_scores)
    if trained.fitted is not None:
        metrics |= trained.fitted.choice
    costs = _costs(trained, meter, some_rows)
    prints = {name: digest(target, chosen) for name, chosen in _parts(target).items()}
    for learnt in plan.streams[:1]:
        prints["learnt"] = digest(workspace.prepared.domain(learnt), rows[learnt])
    card = Scorecard(metrics, costs, temperature, len(tested), prints)
    return Outcome(plan, trained, card, scores, checked, source_scores, rows, ablated)


def _costs(trained: Trained, meter: CostMeter, rows: Sequence[Any]) -> dict[str, float]:
    return {
        "trained_parameters": float(trained.trained_parameters),
        "total_parameters": float(trained.total_parameters),
        "seconds": meter.seconds,
        "peak_memory_mb": meter.peak_memory_mb,
        **answering_costs(trained.read, rows),
    }


def _of_tasks(
    plan: Plan,
    workspace: Workspace,
    trained: Trained,
    rows: Rows,
    meter: CostMeter,
    folder: Path | None,
) -> Outcome:
    """What a network of several tasks left, measured on each of them."""
    prepared = workspace.prepared
    answers = {
        name: (trained.rows(name, domain.parts.test), trained.rows(name, domain.parts.validation))
        for name, domain in prepared.tasks.items()
        if name in rows
    }
    some_rows = prepared.target.table.take(prepared.target.parts.test[:_ASKED]).inputs(
        trained.reads
    )
    trained.finish(plan, folder / DELTA if folder is not None and writes() else None)
    tasks = {}
    for name, (scores, checked) in answers.items():
        domain = prepared.tasks[name]
        metrics, temperature = measured(prepared.of_task(name), scores, checked, None)
        prints = {part: digest(domain, chosen) for part, chosen in _parts(domain).items()}
        prints["learnt"] = digest(domain, rows[name])
        card = Scorecard(metrics, {}, temperature, len(domain.parts.test), prints)
        tasks[name] = TaskOutcome(card, scores, checked)
    card = joint_card(prepared, tasks, _costs(trained, meter, some_rows))
    first = next(iter(tasks.values()))
    return Outcome(
        plan, trained, card, first.scores, first.validation_scores, None, rows, tasks=tasks
    )


def _train_network(
    plan: Plan,
    model: Neural,
    workspace: Workspace,
    rows: Rows,
    folder: Path | None,
    callbacks: Sequence[Callback],
) -> Trained:
    prepared = workspace.prepared
    seed = seed_for(plan.seed, "heads")
    if prepared.tasks:
        answering = {name: prepared.tasks[name].task for name in rows}
        network = workspace.task_network(model, answering, plan.fusion, seed)
    else:
        heads = {"target": prepared.target.task}
        if "source" in rows and not prepared.shared_head:
            heads["source"] = prepared.domain("source").task
        network = workspace.network(model, heads, seed)
    streams = read_streams(plan, network, workspace, rows)
    if plan.align is not None:
        streams = align_source(plan.align, plan, network, workspace, streams)
    plan.tune.prepare(network, seed_for(plan.seed, "tune"))
    fitted = fit(make_job(plan, network, workspace, streams, rows), folder, callbacks)
    return TrainedNetwork(network, fitted, workspace, plan.train.prefix_cache)


def _train_classical(plan: Plan, options: Tfidf, workspace: Workspace, rows: Rows) -> Trained:
    prepared = workspace.prepared
    if "source" in rows and not prepared.shared_head:
        raise ModelError(
            Problem(
                "learn",
                "TF-IDF has one head, and the source's labels are not the target's",
                fix="Take `source` out of `learn`, or give the source the target's labels.",
            )
        )
    texts: list[str] = []
    targets = []
    weights = []
    for objective in plan.learn:
        (stream,) = objective.streams
        name = rows_of(stream)
        domain = prepared.domain(name)
        read = domain.table.take(rows[name]).texts()
        copies = plan.augment.vary(read, plan.seed) if stream.endswith("/augmented") else [read]
        texts += [text for copy in copies for text in copy]
        targets.append(np.tile(domain.targets[rows[name]], len(copies)))
        # As in a sum of mean losses, a stream counts by its weight and not by its rows.
        share = objective.weight_at(0.0) * len(rows[plan.streams[0]]) / len(targets[-1])
        weights.append(np.full(len(targets[-1]), share))
    checked = prepared.target.parts.validation
    validation = None
    if len(checked):
        table = prepared.target.table.take(checked)
        validation = table.texts(), prepared.target.targets[checked]
    model = fit_classical(
        options,
        prepared.target.task,
        texts,
        np.concatenate(targets),
        np.concatenate(weights),
        validation,
        seed_for(plan.seed, "solver") % 2**31,
    )
    return TrainedClassical(model, workspace)


def learnt_keys(rows: Rows, prepared: Prepared) -> set[bytes]:
    """Content keys of the rows that a run learnt from.

    Args:
        rows: The rows by stream.
        prepared: Their tables.
    """
    return {
        key
        for name, chosen in rows.items()
        for key in prepared.domain(name).table.take(chosen).row_keys()
    }


def measured(
    prepared: Prepared,
    scores: NDArray[np.float64],
    checked: NDArray[np.float64] | None,
    source_scores: NDArray[np.float64] | None,
    temperature: float = 1.0,
) -> tuple[dict[str, float], float]:
    """The test metrics, also after calibration and on the source; and the temperature.

    Args:
        prepared: The data.
        scores: Scores of the target's test rows, [n, outputs].
        checked: The same for its validation rows; for none of them nothing is calibrated, and None
            keeps the temperature that is given.
        source_scores: The same for the source's test rows, or None.
        temperature: The temperature where none is fitted. Default: 1.
    """
    target = prepared.target
    labels = target.targets[target.parts.test]
    metrics = evaluate(target.task.metrics, scores, labels)
    if target.task.kind == "classification" and (checked is None or len(checked)):
        if checked is not None:
            temperature = fit_temperature(checked, target.targets[target.parts.validation])
        scaled = evaluate(["ece"], apply_temperature(scores, temperature), labels)
        metrics["ece_scaled"] = scaled["ece"]
    if prepared.source is not None and source_scores is not None:
        known = prepared.source.targets[prepared.source.parts.test]
        primary = target.task.primary
        metrics["source_score"] = evaluate([primary], source_scores, known)[primary]
    return metrics, temperature


def _parts(domain: Domain) -> Rows:
    parts = domain.parts
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}
