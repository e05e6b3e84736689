"""After training: the stages of a recipe, each from models to a model, and what they changed."""

import shutil
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import (
    Evidence,
    ModelFolder,
    Tell,
    load_model,
    model_bytes,
    rewrite_scorecard,
    write_folder,
)
from transfuse.data import seed_for
from transfuse.errors import DataError, ModelError, Problem
from transfuse.evaluation import METRICS, Bootstrap, Scorecard, fit_temperature
from transfuse.recipe import spec_of
from transfuse.training import Callback
from transfuse.transfer.choices import Folders
from transfuse.transfer.cost import answering_costs
from transfuse.transfer.domains import Prepared
from transfuse.transfer.folder import save_model
from transfuse.transfer.plan import Plan
from transfuse.transfer.run import Outcome, learnt_keys, measured
from transfuse.transfer.stages import STAGES
from transfuse.transfer.trained import TrainedFolder, aligned
from transfuse.transfer.workspace import Workspace

__all__ = ["THEN", "after_training"]

THEN = "then"
"""Where a run keeps the models between its stages, until its own is written."""

_ASKED = 128
_MEGABYTE = 2**20


def after_training(
    outcome: Outcome,
    workspace: Workspace,
    folder: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Do a recipe's stages on what its run left, and measure the model that comes of them.

    Args:
        outcome: What the run left; of a recipe that begins from `folders`, those are the models.
        workspace: The run's data.
        folder: The run's folder. Default: a scratch folder, which goes with the outcome's model.
        callbacks: What watches the run.

    Returns:
        The outcome with the last stage's model, and in `made` what each stage did and how the
        model compares with those that it is made of, on the same test rows.

    Raises:
        ModelError: If the models do not go together, or a stage cannot express them.
        DataError: If there are no validation rows to choose by.
    """
    prepared = workspace.prepared
    if not len(prepared.target.parts.validation):
        raise DataError(
            Problem(
                "then",
                "there are no validation rows to choose by",
                fix="Raise `split.validation` above 0, or name a table under `data.validation`.",
            )
        )
    if folder is None:
        with ExitStack() as own:
            scratch = Path(own.enter_context(tempfile.TemporaryDirectory(prefix="transfuse-")))
            made = _made(outcome, workspace, scratch, callbacks)
            # The model may still read from there: the folder goes when the model does.
            weakref.finalize(made.trained, own.pop_all().close)
            return made
    scratch = folder / THEN
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return _made(outcome, workspace, scratch, callbacks)


def _made(
    outcome: Outcome, workspace: Workspace, scratch: Path, callbacks: Sequence[Callback]
) -> Outcome:
    """The outcome after the stages, whose models lie in a folder of their own."""
    plan, prepared = outcome.plan, workspace.prepared
    parents = _parents(outcome, workspace, scratch)
    evidence = _evidence(plan, prepared)
    known = {key for parent in parents for key in parent.training_keys} | learnt_keys(
        outcome.rows, prepared
    )
    if any(stage.learns for stage in plan.then):
        # They may be others than those that the models have learnt.
        known |= set(evidence.train.row_keys())
    for name, parent in zip(_titles(parents), parents, strict=True):
        if lacking := _lacking(parent, prepared):
            said = ", ".join(map(repr, lacking[:10])) + (" …" if len(lacking) > 10 else "")
            for callback in callbacks:
                callback.on_notice(f"{name} knows no {said}: on such rows it is wrong")
    models, made = parents, []
    began = time.perf_counter()
    for number, stage in enumerate(plan.then, start=1):
        name, told = next(iter(spec_of(STAGES, stage).items()))
        found = stage.make(
            models, evidence, seed_for(plan.seed, "then", number), _teller(name, callbacks)
        )
        place = scratch / f"{number:02}"
        made.append({"stage": {name: told}, "told": dict(found.told)})
        write_folder(
            place,
            found.model,
            found.task,
            columns={str(k): str(v) for k, v in prepared.target.table.schema.roles.items()},
            recipe=plan.recipe(),
            scorecard=Scorecard({}),
            training_keys=known,
            made=made,
        )
        models = [_calibrated(place, plan, prepared)]
    outcome = _longer(outcome, time.perf_counter() - began)
    return _judged(outcome, workspace, parents, models[0], made, frozenset(known))


def _longer(outcome: Outcome, seconds: float) -> Outcome:
    """The outcome with the time of the stages beside that of training."""
    card = outcome.scorecard
    costs = {**card.costs, "seconds": card.costs["seconds"] + seconds}
    return replace(outcome, scorecard=replace(card, costs=costs))


def _parents(outcome: Outcome, workspace: Workspace, scratch: Path) -> list[ModelFolder]:
    """The models that the first stage is given."""
    model = outcome.plan.model
    if isinstance(model, Folders):
        opened = [load_model(name) for name in model.folders]
        several = [each for each in opened if each.tasks]
        if several:
            raise ModelError(
                Problem(str(each.path), "is a model of several tasks", "a model of one task")
                for each in several
            )
        return opened
    save_model(outcome, workspace, scratch / "00")
    return [load_model(scratch / "00")]


def _evidence(plan: Plan, prepared: Prepared) -> Evidence:
    target = prepared.target
    rows = prepared.training_rows("target", plan.budget, plan.seed, plan.shots)
    return Evidence(target.table.take(rows), target.table.take(target.parts.validation))


def _teller(stage: str, callbacks: Sequence[Callback]) -> Tell:
    """Hands on what a stage says, once for each thing that it does."""
    last = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            for callback in callbacks:
                callback.on_notice(f"{stage}: {what}")

    return tell


def _calibrated(place: Path, plan: Plan, prepared: Prepared) -> ModelFolder:
    """A stage's model with the temperature that the validation rows ask for."""
    opened = load_model(place)
    target = prepared.target
    if target.task.kind != "classification":
        return opened
    rows = target.parts.validation
    scores = _scores(opened, plan, prepared, rows)
    temperature = fit_temperature(scores, target.targets[rows])
    rewrite_scorecard(place, Scorecard({}, temperature=temperature))
    return replace(opened, temperature=temperature)


def _scores(
    model: ModelFolder, plan: Plan, prepared: Prepared, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    target = prepared.target
    scores = model.scores(target.table.take(rows).inputs(model.reads))
    return aligned(scores, model.task, target.task, plan.names_labels)


def _judged(
    outcome: Outcome,
    workspace: Workspace,
    parents: Sequence[ModelFolder],
    model: ModelFolder,
    made: list[dict[str, Any]],
    known: frozenset[bytes],
) -> Outcome:
    """The outcome of the last stage's model, and how it compares with its parents."""
    prepared = workspace.prepared
    target = prepared.target
    raw = TrainedFolder(replace(model, temperature=1.0), workspace, outcome.plan.names_labels)
    scores = raw.rows("target", target.parts.test)
    checked = raw.rows("target", target.parts.validation)
    source_scores = None
    if prepared.source is not None and prepared.shared_head:
        source_scores = raw.rows("source", prepared.source.parts.test)
    metrics, temperature = measured(
        prepared, scores, checked if made else None, source_scores, model.temperature
    )
    texts = target.table.take(target.parts.test[:_ASKED]).inputs(model.reads)
    taken = _costs(model, texts)
    costs = {
        **outcome.scorecard.costs,
        "total_parameters": float(raw.total_parameters),
        **taken,
    }
    card = replace(outcome.scorecard, metrics=metrics, costs=costs, temperature=temperature)
    judged = {
        "after": {"score": metrics[target.task.primary], **taken},
        "before": [
            {"name": name, **_compared(each, outcome.plan, scores, prepared, texts)}
            for name, each in zip(_titles(parents), parents, strict=True)
        ],
    }
    told = [*made, judged]
    return replace(
        outcome,
        trained=raw,
        scorecard=card,
        scores=scores,
        validation_scores=checked,
        source_scores=source_scores,
        learnt=known,
        made=tuple(told),
    )


def _titles(parents: Sequence[ModelFolder]) -> list[str]:
    """What the parents are called; those of one recipe are told apart by their place."""
    titles = [
        str(parent.recipe.get("title") or parent.recipe.get("name") or parent.path.name)
        for parent in parents
    ]
    return [
        f"{title} ({place})" if titles.count(title) > 1 else title
        for place, title in enumerate(titles, start=1)
    ]


def _compared(
    parent: ModelFolder,
    plan: Plan,
    scores: NDArray[np.float64],
    prepared: Prepared,
    texts: Sequence[str],
) -> dict[str, Any]:
    """A parent on the same test rows, and what is gained over it."""
    target = prepared.target
    rows = target.parts.test
    metric = METRICS[target.task.primary]
    bootstrap = Bootstrap(target.documents(rows), 1)
    before = _scores(replace(parent, temperature=1.0), plan, prepared, rows)
    lacking = _lacking(parent, prepared)
    both = [
        bootstrap.replicates(metric, [answers], target.targets[rows])
        for answers in (scores, before)
    ]
    gain = bootstrap.gain(*both)
    return {
        "score": both[1].value,
        "gain": gain.value,
        "low": gain.low,
        "high": gain.high,
        "p": gain.p,
        **({"labels_unknown": lacking} if lacking else {}),
        **_costs(parent, texts),
    }


def _lacking(model: ModelFolder, prepared: Prepared) -> list[str]:
    """Labels of the target's rows that a model does not know."""
    target = prepared.target
    found = frozenset[str]().union(*(target.task.classes(target.targets) or ()))
    return sorted(found - set(model.task.label_names))


def _costs(model: ModelFolder, texts: Sequence[str]) -> dict[str, float]:
    return {
        **answering_costs(model.scores, texts),
        "size_mb": model_bytes(model.path) / _MEGABYTE,
    }
