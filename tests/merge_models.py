"""Tiny models of one ancestor, as folders, for the tests of merges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfuse.answering import Evidence, ModelFolder, load_model, write_folder
from transfuse.data import Table
from transfuse.evaluation import Scorecard
from transfuse.models import Engine, load_classifier
from transfuse.tasks import Classification, Task

LABELS = ("bad", "good")


def quiet(what: str, done: int, total: int) -> None:
    """Hears and says nothing."""
    assert what
    assert 0 <= done <= total


def descendant(
    folder: Path,
    ancestor: Path,
    *,
    seed: int,
    labels: Sequence[str] = LABELS,
    size: float = 0.02,
    pooling: str = "mean",
    rows: Table | None = None,
    task: Task | None = None,
    more: dict[str, Any] | None = None,
) -> ModelFolder:
    """An ancestor with random deltas and a random head, as if it had been trained."""
    task = task or Classification(labels=tuple(labels))
    network = load_classifier(
        str(ancestor),
        task.label_names,
        task="target",
        problem_type=task.problem_type,
        pooling=pooling,
        max_length=24,
        seed=seed,
    )
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=draw))
    choice = {"name": str(ancestor), "pooling": pooling, "max_length": 24} | (more or {})
    write_folder(
        folder,
        network,
        task,
        columns={"text": "text", "label": "label"},
        recipe={"name": folder.name, "model": {"pretrained": choice}},
        scorecard=Scorecard({task.primary: 0.5}),
        training_keys=rows.row_keys() if rows is not None else [],
    )
    return load_model(folder, Engine())


def reviews(rows: int, seed: int, labels: Sequence[str] = LABELS) -> Table:
    """Short texts that name their label."""
    draw = np.random.default_rng(seed)
    names = [labels[row % len(labels)] for row in range(rows)]
    words = ["the film", "a book", "it was", "so and so", "that", "very fine", "not"]
    texts = [
        f"{words[draw.integers(7)]} {name} {words[draw.integers(7)]} {seed}-{row}"
        for row, name in enumerate(names)
    ]
    return Table.from_dict({"text": texts, "label": names})


def evidence(train: int = 24, validation: int = 16, labels: Sequence[str] = LABELS) -> Evidence:
    """Rows to fit on and rows to choose by."""
    return Evidence(reviews(train, 1, labels), reviews(validation, 2, labels))
