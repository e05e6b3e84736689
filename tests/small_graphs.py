"""Tiny model folders to export, made without training, and texts to ask them."""

from pathlib import Path

import numpy as np
import torch

from tiny_models import WORDS, save_tiny
from transfuse.answering import Evidence, ModelFolder, load_model, write_folder
from transfuse.data import Table
from transfuse.evaluation import Scorecard
from transfuse.models import Engine, LinearHead, Network, load_classifier
from transfuse.tasks import Classification, Task

LABELS = ("bad", "good")
ODD = ["", "   ", "中文的一句话", "good", "good " * 500, "a\nb\tc", "\U0001f600 film"]


def texts(count: int, seed: int = 0, longest: int = 30) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]


def classifier(folder: Path, kind: str = "bert") -> Network:
    """A classifier whose random head tells texts apart clearly."""
    network = load_classifier(save_tiny(kind, folder), LABELS, pooling="mean", task="target").eval()
    head = network.heads["target"]
    assert isinstance(head, LinearHead)
    with torch.no_grad():
        head.classifier.weight.mul_(30)
        head.classifier.bias.sub_(head_mean(network))
    return network


def head_mean(network: Network) -> torch.Tensor:
    """The mean logits of some texts, so that no label is said of all of them."""
    encoder = network.encoder
    with torch.no_grad():
        return network(encoder.collate(encoder.preprocess(texts(64)))).logits["target"].mean(0)


def as_folder(network: Network, folder: Path, task: Task | None = None) -> ModelFolder:
    write_folder(
        folder,
        network,
        task or Classification(labels=LABELS),
        columns={"text": "text", "label": "label"},
        recipe={"name": "small"},
        scorecard=Scorecard({"accuracy": 1.0}, {"seconds": 1.0}, temperature=1.5),
        training_keys=[],
    )
    return load_model(folder, Engine())


def labelled(folder: ModelFolder, rows: list[str]) -> Table:
    """Texts labelled by what a model says of them, so that it scores 1."""
    return Table.from_dict({"text": rows, "label": folder.predict(rows)}, roles={})


def evidence(folder: ModelFolder, train: int = 60, validation: int = 80) -> Evidence:
    return Evidence(labelled(folder, texts(train, 1)), labelled(folder, texts(validation, 2)))


def silent(what: str, done: int, total: int) -> None:
    """Hears how far work has come and says nothing."""
