"""Checkpoints: everything that a run needs to go on as if it had never stopped.

Tensors go into one safetensors file, all else into one JSON file; nothing is pickled. A checkpoint
is a folder that is written beside its place and renamed, so that a kill leaves the old one or the
new one.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from transfuse.errors import Problem, TrainingError

__all__ = [
    "Position",
    "load_checkpoint",
    "optimizer_tensors",
    "restore_optimizer",
    "save_checkpoint",
]

_TENSORS = "state.safetensors"
_VALUES = "state.json"


@dataclass(frozen=True)
class Position:
    """Where a run stands, besides its tensors."""

    job: str
    """Fingerprint of the job; a checkpoint of another job is not resumed."""

    stage: int
    step: int
    """Steps done in this stage."""

    streams: Mapping[str, Any]
    """The position of each stream."""

    history: list[dict[str, float]]
    """One entry per logged evaluation."""

    best: float | None = None
    """Best validation score so far."""

    stale: int = 0
    """Evaluations since then."""

    seconds: float = 0.0
    """Time spent so far."""


def save_checkpoint(folder: Path, position: Position, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a checkpoint in place of the one before it.

    Args:
        folder: The checkpoint's final place.
        position: Where the run stands.
        tensors: Everything with numbers, by name.
    """
    beside = folder.with_name(folder.name + ".new")
    before = folder.with_name(folder.name + ".old")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    # Tied weights would be refused by safetensors; copies cost little beside a step.
    owned = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(owned, beside / _TENSORS)
    (beside / _VALUES).write_text(json.dumps(asdict(position)), encoding="utf-8")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        folder.rename(before)
    beside.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def load_checkpoint(folder: Path, job: str) -> tuple[Position, dict[str, torch.Tensor]] | None:
    """The checkpoint of a job, if it left one.

    Args:
        folder: The checkpoint's place.
        job: Fingerprint of the job that wants to go on.

    Returns:
        Where the run stood and its tensors; None where there is no checkpoint.

    Raises:
        TrainingError: If the checkpoint is of another job.
    """
    if not folder.exists():
        # A kill between the two renames of `save_checkpoint` leaves only the older one.
        folder = folder.with_name(folder.name + ".old")
    if not (folder / _VALUES).exists():
        return None
    position = Position(**json.loads((folder / _VALUES).read_text(encoding="utf-8")))
    if position.job != job:
        raise TrainingError(
            Problem(
                str(folder),
                "holds a checkpoint of a run with another recipe, data or version",
                "a run that was started by the same command",
                "Use another output folder, or remove this one to start anew.",
            )
        )
    return position, load_file(folder / _TENSORS)


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimizer's state as named tensors."""
    return {
        f"{prefix}{index}.{name}": value if torch.is_tensor(value) else torch.tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], prefix: str
) -> None:
    """Give an optimizer back the state that `optimizer_tensors` read."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
