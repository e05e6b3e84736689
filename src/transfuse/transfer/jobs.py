"""From a plan and its data to the job that training does."""

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.alignment import Alignment
from transfuse.data import seed_for
from transfuse.errors import Problem, RecipeError
from transfuse.models import Answers, Engine, Feeds, Inputs, Network
from transfuse.objectives import StreamTask, rows_of
from transfuse.training import Criterion, Job, StreamData, streams_of
from transfuse.training.teachers import Teacher, answer
from transfuse.transfer.domains import Domain
from transfuse.transfer.plan import Plan
from transfuse.transfer.start import content_of, model_folders
from transfuse.transfer.workspace import Workspace

__all__ = ["Rows", "align_source", "digest", "make_job", "read_streams"]

Rows = dict[str, NDArray[np.int64]]
"""The rows that are learnt from, by stream."""

_JUDGED = 2000
"""Rows at the most that choose among weights without labels."""


def digest(domain: Domain, rows: NDArray[np.int64]) -> str:
    """Names the content of some rows."""
    return str(domain.table.take(rows).fingerprint)


def read_streams(
    plan: Plan, network: Network, workspace: Workspace, rows: Rows
) -> dict[str, StreamData]:
    """The rows of every stream as the network reads them, with what teachers say of them.

    Args:
        plan: The plan.
        network: The network as it was loaded, before anything of it moves.
        workspace: The data and the teachers.
        rows: The rows that are learnt from.

    Raises:
        ModelError: If a teacher cannot be opened.
        RecipeError: If a teacher cannot answer.
    """
    made = {}
    for name, chosen in rows.items():
        domain = workspace.prepared.domain(name)
        inputs = workspace.inputs(network.encoder, name, chosen)
        varied = f"{name}/augmented" in streams_of(plan.learn)
        made[name] = StreamData(
            inputs,
            domain.targets[chosen] if domain.labelled else None,
            variants=workspace.variants(network.encoder, name, chosen, plan.augment, plan.seed)
            if varied
            else (),
            answers=_answers(plan, network, workspace, name, chosen, inputs),
        )
    return made


def _answers(
    plan: Plan,
    network: Network,
    workspace: Workspace,
    stream: str,
    rows: NDArray[np.int64],
    inputs: Inputs,
) -> dict[str, Answers]:
    """What teachers say of a stream's rows, by the question's name."""
    found: dict[str, Answers] = {}
    for objective in plan.learn:
        for question in objective.questions:
            if rows_of(question.stream) != stream or question.name in found:
                continue
            task = _task(workspace, network, stream, None)
            if question.teacher is None:
                labels = task.task.label_names
                teacher = Teacher("itself", network.encoder, network, task.head, labels)
            else:
                teacher = workspace.teacher(question.teacher)
            found[question.name] = answer(
                question,
                teacher,
                task,
                (network.encoder, inputs),
                lambda roles: workspace.prepared.domain(stream).table.take(rows).inputs(roles),
                workspace.store,
                workspace.engines.encode,
            )
    return found


def align_source(
    alignment: Alignment,
    plan: Plan,
    network: Network,
    workspace: Workspace,
    streams: dict[str, StreamData],
) -> dict[str, StreamData]:
    """The streams with the source's features brought to those of the target's unlabelled rows.

    Args:
        alignment: What brings them there.
        plan: The plan, of a frozen probe that learns from the source.
        network: The network.
        workspace: The data.
        streams: What `read_streams` gave.
    """
    feeds = Feeds(network, network.encoder.depth, workspace.store, workspace.engines.encode)
    target = workspace.prepared.domain("unlabelled").parts.train
    aligned = alignment.align(
        feeds.vectors(streams["source"].inputs),
        feeds.vectors(workspace.inputs(network.encoder, "unlabelled", target)),
        seed_for(plan.seed, "align"),
    )
    moved = replace(streams["source"], vectors=aligned.source, weights=aligned.weights)
    return {**streams, "source": moved}


def _task(
    workspace: Workspace, network: Network, stream: str, targets: NDArray[Any] | None
) -> StreamTask:
    task = workspace.prepared.domain(stream).task
    weights = None if targets is None else task.weights(targets)
    return StreamTask(
        task,
        stream if stream in network.heads else "target",
        None if weights is None else torch.from_numpy(weights),
    )


def make_job(
    plan: Plan, network: Network, workspace: Workspace, streams: dict[str, StreamData], rows: Rows
) -> Job:
    """The job that a plan asks for.

    Args:
        plan: The plan.
        network: The network, prepared by the plan's tuning.
        workspace: The data.
        streams: What `read_streams` gave.
        rows: The rows that are learnt from.
    """
    prepared = workspace.prepared
    tasks = {name: _task(workspace, network, name, data.targets) for name, data in streams.items()}
    checked = prepared.target.parts.validation
    validation = None
    if len(checked) and plan.reads_labels and not prepared.tasks:
        inputs = workspace.inputs(network.encoder, "target", checked)
        validation = StreamData(inputs, prepared.target.targets[checked])
    return Job(
        network=network,
        stages=plan.tune.stages(network),
        objectives=plan.learn,
        balancer=plan.balance,
        options=plan.train,
        streams=streams,
        tasks=tasks,
        seed=seed_for(plan.seed, "train"),
        engine=workspace.engines.training(plan.train.precision, network.encoder),
        encode_engine=workspace.engines.encode,
        store=workspace.store,
        fingerprint=_fingerprint(plan, workspace, rows),
        validation=validation,
        validation_task=None if validation is None else StreamTask(prepared.target.task, "target"),
        validations=_validations(network, workspace),
        criterion=_criterion(plan, network, workspace),
    )


def _validations(
    network: Network, workspace: Workspace
) -> dict[str, tuple[StreamData, StreamTask]]:
    """The validation rows of each of several tasks."""
    found = {}
    for name, domain in workspace.prepared.tasks.items():
        rows = domain.parts.validation
        if len(rows) and name in network.heads:
            inputs = workspace.inputs(network.encoder, name, rows)
            found[name] = StreamData(inputs, domain.targets[rows]), StreamTask(domain.task, name)
    return found


def _criterion(plan: Plan, network: Network, workspace: Workspace) -> Criterion | None:
    """What chooses without labels, where the plan asks for it; the test rows look on."""
    if plan.train.select == "validation":
        return None
    prepared = workspace.prepared
    if prepared.target.task.kind != "classification":
        raise RecipeError(
            Problem(
                "train.select",
                f"{plan.train.select} reads probabilities of classes, the task is "
                f"{prepared.target.task.kind}",
                "validation",
            )
        )
    if plan.train.select == "iw_risk" and not prepared.shared_head:
        raise RecipeError(
            Problem(
                "train.select",
                "iw_risk judges the target's head by the source's labels, which are others",
                "a source whose labels are among the target's",
                "Select by entropy or information_maximisation.",
            )
        )

    def judged(name: str, rows: NDArray[np.int64], *, labelled: bool) -> StreamData:
        rng = np.random.default_rng(seed_for(plan.seed, "judged", name))
        some = np.sort(rng.permutation(rows)[:_JUDGED])
        targets = prepared.domain(name).targets[some] if labelled else None
        return StreamData(workspace.inputs(network.encoder, name, some), targets)

    source = prepared.source
    return Criterion(
        plan.train.select,
        judged("unlabelled", prepared.domain("unlabelled").parts.train, labelled=False),
        prepared.target.task,
        "target",
        None if source is None else judged("source", source.parts.test, labelled=True),
        judged("target", prepared.target.parts.test, labelled=True),
    )


def _arithmetic(engine: Engine) -> dict[str, Any]:
    """What an engine computes; how fast it was measured to be changes nothing."""
    told = engine.to_json()
    del told["speedup"]
    return told


def _fingerprint(plan: Plan, workspace: Workspace, rows: Rows) -> str:
    """Names what a run does, so that only the same run resumes its checkpoint."""
    prepared = workspace.prepared
    engines = workspace.engines
    told = {
        "recipe": plan.work(),
        "models": content_of(model_folders(plan)),
        "rows": {name: digest(prepared.domain(name), kept) for name, kept in rows.items()},
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "engines": [_arithmetic(engines.encode), _arithmetic(engines.train)],
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]
