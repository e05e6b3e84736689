"""Opened model folders of tiny networks, for tests of pruning and trimming."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tiny_models import WORDS
from transfuse.answering import Evidence, ModelFolder
from transfuse.data import Role, Table
from transfuse.evaluation import Scorecard
from transfuse.models import Network, load_classifier, save_network
from transfuse.tasks import Classification, Task

TASK = Classification(labels=("bad", "good"))
TEXTS = ("the film was good", "bad", "this book is not very fine and the film was poor", "it was")


def told_nothing(_what: str, _done: int, _total: int) -> None:
    """Hears nothing."""


def table(texts: Sequence[str], labels: Sequence[Any]) -> Table:
    return Table.from_dict(
        {"text": list(texts), "label": list(labels)}, roles={Role.TEXT: "text", Role.LABEL: "label"}
    )


def evidence(rows: int = 24) -> Evidence:
    """Rows whose label says whether `good` or `fine` is in them."""
    draw = torch.Generator().manual_seed(0)
    picks = torch.randint(len(WORDS), (rows, 5), generator=draw).tolist()
    texts = [" ".join(WORDS[place] for place in row) for row in picks]
    labels = ["good" if {"good", "fine"} & set(text.split()) else "bad" for text in texts]
    return Evidence(table(texts, labels), table(TEXTS, ("good", "bad", "bad", "good")))


def folder_of(network: Network, task: Task = TASK, path: Path | None = None) -> ModelFolder:
    return ModelFolder(
        path=path or Path("some-folder"),
        model=network,
        task=task,
        head="target",
        temperature=1.0,
        scorecard=Scorecard({}),
        recipe={},
        training_keys=frozenset(),
    )


def opened(name: Path | str, pooling: str = "mean", task: Task = TASK) -> ModelFolder:
    """A network with a head large enough that its answers differ."""
    network = load_classifier(
        name,
        task.label_names,
        task="target",
        pooling=pooling,  # type: ignore[arg-type]
        problem_type=task.problem_type,
        max_length=16,
    )
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.heads.parameters():
            weight += torch.randn(weight.shape, generator=draw)
    return folder_of(network, task)


def logits(network: Network, texts: Sequence[str] = TEXTS) -> torch.Tensor:
    batch = network.encoder.collate(network.encoder.preprocess(list(texts)))
    with torch.no_grad():
        found: torch.Tensor = network(batch).logits["target"]
    return found


def plain_logits(folder: Path, texts: Sequence[str] = TEXTS) -> torch.Tensor:
    """What plain transformers makes of a folder."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        given = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        found: torch.Tensor = model(**given).logits
    return found


def saved(network: Network, folder: Path) -> int:
    """Writes a network; the bytes of its weights."""
    save_network(network, folder)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )
