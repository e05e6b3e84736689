"""What a run begins from: models in folders, by what is in them and by what they have seen.

A start model or a teacher that has learnt rows which this run is scored on would make its score
worthless; and a folder whose content has changed is another model, whatever its name.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from transfuse.answering.about import ROWS
from transfuse.errors import DataError, Problem
from transfuse.transfer.domains import Prepared
from transfuse.transfer.plan import Plan

__all__ = ["check_start", "content_of", "model_folders", "stage_files"]


def check_start(plan: Plan, prepared: Prepared) -> None:
    """Refuse what cannot give an honest score.

    Args:
        plan: What is going to be done.
        prepared: The data.

    Raises:
        DataError: If a model that the run begins from has learnt rows that the run is scored on,
            if nothing teaches the head that is scored, or if a file of a stage is not there.
    """
    missing = [file for file in stage_files(plan) if not file.is_file()]
    if missing:
        # Better now than after hours of training.
        raise DataError(Problem(f"then: {file}", "no such file") for file in missing)
    source = prepared.source
    if source is not None and plan.streams == ("source",) and not prepared.shared_head:
        raise DataError(
            Problem(
                source.table.name,
                f"its labels are {', '.join(source.task.label_names[:8])}",
                f"labels of the target: {', '.join(prepared.target.task.label_names[:8])}",
                "Learn from `target` too, or give the source the target's labels.",
            )
        )
    for folder in model_folders(plan):
        rows = folder / ROWS
        if not rows.exists():
            continue
        seen = {key.tobytes() for key in load_file(rows)["keys"]}
        for domain in prepared.tasks.values() or (prepared.target,):
            scored = np.concatenate([domain.parts.validation, domain.parts.test])
            # A text that stands on both sides here is this table's own matter.
            own = set(domain.table.take(domain.parts.train).row_keys())
            keys = domain.table.take(scored).row_keys()
            both = sum(key in seen and key not in own for key in keys)
            if both:
                raise DataError(
                    Problem(
                        domain.table.name,
                        f"{both} rows that this run is scored on were learnt by {folder}",
                        "a start model and teachers that have not seen them",
                        "Split both runs alike, or score on other rows.",
                    )
                )


def content_of(paths: Sequence[Path]) -> str:
    """Names the content of folders and files; empty where there are none.

    Args:
        paths: What `model_folders` and `stage_files` gave.
    """
    digest = hashlib.blake2b(digest_size=16)
    for folder in paths:
        inside = sorted(path for path in folder.rglob("*") if path.is_file())
        for file in [folder] if folder.is_file() else inside:
            digest.update(file.relative_to(folder).as_posix().encode())
            with file.open("rb") as opened:
                while part := opened.read(1 << 20):
                    digest.update(part)
    return digest.hexdigest() if paths else ""


def model_folders(plan: Plan) -> tuple[Path, ...]:
    """The folders that a plan begins from: those among the names of models in its recipe."""
    told = plan.recipe()
    paths = {Path(text) for text in _texts([told["model"], told["learn"], told.get("then")])}
    # A name such as `mcc` may happen to be a folder; a model's folder has a config.
    return tuple(sorted(p for p in paths if (p / "config.json").is_file() or (p / ROWS).is_file()))


def stage_files(plan: Plan) -> tuple[Path, ...]:
    """The files that a plan's stages after training name, such as a corpus."""
    return tuple(sorted({Path(file) for stage in plan.then for file in stage.files}))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
