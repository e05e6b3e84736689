"""A finished run of a study: what names it, and what its folder keeps."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.answering import model_bytes
from transfuse.evaluation import Scorecard
from transfuse.transfer import Outcome

__all__ = ["Run", "RunKey", "TaskRun", "load_run", "write_run"]

_MEGABYTE = 2**20

_ABLATED = "columns/"


@dataclass(frozen=True)
class RunKey:
    """One run of a study."""

    recipe: str
    budget: int
    """Labelled target rows; 0 where none are used."""

    seed: int
    task: str = ""
    """The one of several tasks that a run with `alone` learns."""

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        digest = hashlib.blake2b(self.recipe.encode(), digest_size=4).hexdigest()
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in self.recipe)[:40]
        task = f"-{self.task}" if self.task else ""
        return f"{plain}-{digest}-{self.budget}-{self.seed}{task}"


@dataclass(frozen=True)
class Run:
    """A finished run, as its folder keeps it."""

    key: RunKey
    scorecard: Scorecard
    scores: NDArray[np.float32]
    """Scores of the target's test rows, [n, outputs]."""

    validation_scores: NDArray[np.float32]
    """Scores of the target's validation rows, [m, outputs]."""

    source_scores: NDArray[np.float32] | None = None
    """Scores of the source's test rows, where the head answers for them."""

    model: Path | None = None

    made: tuple[Mapping[str, Any], ...] = ()
    """What the stages after training did, and how the model compares with those before."""

    ablated: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Scores of the target's test rows by the columns that were left, where there are several."""

    tasks: Mapping[str, "TaskRun"] = field(default_factory=dict)
    """With several tasks, what was measured on each; scores above are those of the first."""


@dataclass(frozen=True)
class TaskRun:
    """What a finished run measured on one of several tasks."""

    scorecard: Scorecard
    scores: NDArray[np.float32]
    """Scores of the task's test rows, [n, outputs]."""

    validation_scores: NDArray[np.float32]
    """Scores of the task's validation rows, [m, outputs]."""


def load_run(folder: Path, key: RunKey, identity: str) -> Run | None:
    """A finished run, or None where it is missing or another run's.

    Args:
        folder: The study's folder of runs.
        key: Which run.
        identity: Fingerprint of what it must have done.
    """
    place = folder / key.folder
    try:
        told = json.loads((place / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if told["identity"] != identity:
        return None
    arrays = load_file(place / "scores.safetensors")
    model = place / "model"
    tasks = {
        name: TaskRun(
            Scorecard.from_dict(card), arrays[f"test/{name}"], arrays[f"validation/{name}"]
        )
        for name, card in told.get("tasks", {}).items()
    }
    ablated = {
        name: arrays[f"{_ABLATED}{name}"]
        # The file keeps its names in their own order.
        for name in told.get("ablated", ())
    }
    return Run(
        key,
        Scorecard.from_dict(told["scorecard"]),
        arrays["test"],
        arrays["validation"],
        arrays.get("source"),
        model if model.exists() else None,
        tuple(told.get("made", ())),
        ablated,
        tasks,
    )


def write_run(outcome: Outcome, identity: str, folder: Path) -> None:
    """Leave what a run measured in its folder, for `load_run`.

    Args:
        outcome: What the run left.
        identity: Fingerprint of what it has done.
        folder: The run's folder.
    """
    arrays = {"test": outcome.scores, "validation": outcome.validation_scores}
    if outcome.source_scores is not None:
        arrays["source"] = outcome.source_scores
    for name, found in outcome.tasks.items():
        arrays[f"test/{name}"] = found.scores
        arrays[f"validation/{name}"] = found.validation_scores
    arrays |= {f"{_ABLATED}{name}": scores for name, scores in outcome.ablated.items()}
    # Two names may not share memory.
    kept = {name: np.array(scores, np.float32, order="C") for name, scores in arrays.items()}
    save_file(kept, folder / "scores.safetensors")
    card = outcome.scorecard
    if (folder / "model").exists():
        size = model_bytes(folder / "model") / _MEGABYTE
        card = replace(card, costs={**card.costs, "size_mb": size})
    told: dict[str, Any] = {"identity": identity, "scorecard": card.to_dict()}
    if outcome.ablated:
        told["ablated"] = list(outcome.ablated)
    if outcome.made:
        told["made"] = list(outcome.made)
    if outcome.tasks:
        told["tasks"] = {name: each.scorecard.to_dict() for name, each in outcome.tasks.items()}
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
