"""Settings that are chosen by validation: every candidate is run, and the best is what is kept.

With the weights of objectives it is tuned scalarisation, the plainest way to weigh losses, and one
that is hard to beat (Kurin et al., 2022, 'In defense of the unitary scalarization for deep
multi-task learning', arXiv:2201.04122; Xin et al., 2022, arXiv:2209.11379).
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transfuse.errors import Problem, TrainingError
from transfuse.evaluation import METRICS, evaluate
from transfuse.training import Callback, alone
from transfuse.transfer.after import after_training
from transfuse.transfer.choices import Folders
from transfuse.transfer.domains import Prepared
from transfuse.transfer.plan import Plan
from transfuse.transfer.reading import candidates
from transfuse.transfer.run import DELTA, Outcome, run_once
from transfuse.transfer.workspace import Workspace

__all__ = ["run_plan", "validation_score"]


def run_plan(
    plan: Plan,
    workspace: Workspace,
    folder: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Do what a plan says, and measure it; where it searches, do each candidate and keep the best.

    Args:
        plan: The plan.
        workspace: Data, engine and feature store.
        folder: Where checkpoints and adapters are kept. Default: nowhere.
        callbacks: What watches training.

    Returns:
        The model and its measurements; after a search with the values that were chosen, and the
        seconds of all candidates.

    Raises:
        DataError: If the data cannot carry the plan.
        ModelError: If the model cannot be loaded or does not fit.
        TrainingError: If training fails.
    """
    outcome = _chosen(plan, workspace, folder, callbacks)
    return after_training(outcome, workspace, folder, callbacks) if _goes_on(plan) else outcome


def _goes_on(plan: Plan) -> bool:
    """Whether the model is made, or at least judged, by what comes after training."""
    return bool(plan.then) or isinstance(plan.model, Folders)


def _chosen(
    plan: Plan, workspace: Workspace, folder: Path | None, callbacks: Sequence[Callback]
) -> Outcome:
    """The outcome of a plan, or of the best of its candidates."""
    if not plan.search:
        return run_once(plan, workspace, folder, callbacks)
    if not alone():
        raise TrainingError(
            Problem(
                "search",
                "runs one candidate after the other in one process",
                "one process",
                "Start it without torchrun, or compare the values as recipes of a study.",
            )
        )
    best: tuple[float, dict[str, Any], Outcome] | None = None
    seconds = 0.0
    for number, (values, candidate) in enumerate(candidates(plan)):
        place = None if folder is None else folder / f"candidate-{number}"
        outcome = run_once(candidate, workspace, place, callbacks)
        seconds += outcome.scorecard.costs["seconds"]
        score = validation_score(outcome, workspace.prepared)
        said = ", ".join(f"{path} = {value}" for path, value in values.items())
        for callback in callbacks:
            callback.on_notice(f"search: {said} validates at {score:.4f}")
        if best is None or score > best[0]:
            best = (score, values, outcome)
            _hand_on(place, folder)
    assert best is not None
    if folder is not None:
        for left in folder.glob("candidate-*"):
            shutil.rmtree(left)
    _, values, outcome = best
    card = replace(outcome.scorecard, costs={**outcome.scorecard.costs, "seconds": seconds})
    return replace(outcome, plan=plan, scorecard=card, chosen=values)


def validation_score(outcome: Outcome, prepared: Prepared) -> float:
    """The primary metric on the validation rows, turned so that more is better.

    Args:
        outcome: What a run left.
        prepared: Its data; of several tasks the mean counts.
    """
    sides = [
        (prepared.tasks[name], found.validation_scores) for name, found in outcome.tasks.items()
    ] or [(prepared.target, outcome.validation_scores)]
    scores = []
    for domain, answers in sides:
        primary = domain.task.primary
        value = evaluate([primary], answers, domain.targets[domain.parts.validation])[primary]
        scores.append(value if METRICS[primary].higher_is_better else -value)
    return float(np.mean(scores))


def _hand_on(place: Path | None, folder: Path | None) -> None:
    """Let the best candidate's adapter stand where a run's adapter is looked for."""
    if place is None or folder is None:
        return
    shutil.rmtree(folder / DELTA, ignore_errors=True)
    if (place / DELTA).exists():
        (place / DELTA).rename(folder / DELTA)
