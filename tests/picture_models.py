"""Tiny vision models of one ancestor, as folders, and pictures that name their label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from tiny_pictures import encoded, shaken, tiny_backbone, tiny_lite
from transfuse.answering import Evidence, Kept, ModelFolder, load_model, write_folder
from transfuse.data import Table
from transfuse.data.images import Pictures
from transfuse.evaluation import Scorecard
from transfuse.models import Engine
from transfuse.models.images import BatchNorm, image_classifier
from transfuse.tasks import Classification, Task

SHADES = ("dark", "light")
SIZE = 32


_SMALL = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic"}


def ancestor(folder: Path, kind: str) -> Path:
    """A pretrained model of an architecture; `small` is a ResNet of two blocks."""
    if kind == "small":
        torch.manual_seed(0)
        model = shaken(transformers.AutoModel.from_config(transformers.ResNetConfig(**_SMALL)))
    else:
        model = tiny_lite() if kind == "lite" else tiny_backbone(kind)
    model.save_pretrained(folder)
    return folder


def seen_descendant(
    folder: Path,
    source: Path,
    *,
    seed: int,
    labels: Sequence[str] = SHADES,
    size: float = 0.02,
    pixels: int = SIZE,
    rows: Table | None = None,
    task: Task | None = None,
    batch_norm: BatchNorm = "frozen",
) -> ModelFolder:
    """An ancestor with random deltas and a random head, as if it had been trained on pictures."""
    task = task or Classification(labels=tuple(labels))
    network = image_classifier(
        source,
        task.label_names,
        task="target",
        problem_type=task.problem_type,
        size=pixels,
        seed=seed,
        batch_norm=batch_norm,
    )
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=draw))
    return kept(folder, network, task, {"name": str(source), "size": pixels}, rows)


def kept(
    folder: Path,
    network: Kept,
    task: Task,
    choice: dict[str, Any],
    rows: Table | None = None,
    column: str = "image",
) -> ModelFolder:
    """A network, or another model, as the model folder of a run."""
    write_folder(
        folder,
        network,
        task,
        columns={column: column, "label": "label"},
        recipe={"name": folder.name, "model": {"pretrained": choice}},
        scorecard=Scorecard({task.primary: 0.5}),
        training_keys=rows.row_keys() if rows is not None else [],
    )
    return load_model(folder, Engine())


def shades(
    rows: int, seed: int, labels: Sequence[str] = SHADES, said: Sequence[Any] | None = None
) -> Table:
    """Noisy pictures whose brightness is their label, or with what is said of them for one."""
    draw = np.random.default_rng(seed)
    names = [labels[row % len(labels)] for row in range(rows)]
    step = 200 // max(1, len(labels) - 1)
    files = []
    for name in names:
        level = labels.index(name) * step
        noise = draw.integers(0, 56, (SIZE, SIZE, 3), dtype=np.uint8)
        files.append(encoded(Image.fromarray(noise + np.uint8(level))))
    return Table.from_dict({"image": files, "label": list(said or names)}, roles={"image": "image"})


def seen_evidence(train: int = 12, validation: int = 8, labels: Sequence[str] = SHADES) -> Evidence:
    """Rows to fit on and rows to choose by."""
    return Evidence(shades(train, 1, labels), shades(validation, 2, labels))


def shown(count: int, seed: int = 3) -> Pictures:
    """Pictures to be asked about."""
    found = shades(count, seed).inputs()
    assert isinstance(found, Pictures)
    return found
