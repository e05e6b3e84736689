"""Model folders whose answers are known, for tests of what is made of several models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import Evidence, ModelFolder, Tfidf, write_folder
from transfuse.answering.folder import load_model
from transfuse.data import Role, Table
from transfuse.evaluation import Scorecard
from transfuse.tasks import Classification, Task
from transfuse.transfer.classical import fit_classical

TEXTS = ["good film", "a fine book", "very good", "bad film", "a poor book", "very bad"] * 3
LABELS = ("bad", "good")
TARGETS = np.array([1, 1, 1, 0, 0, 0] * 3)


@dataclass(eq=False)
class Said:
    """An opened model folder that answers from a list: text `row 7` has answer 7."""

    task: Task
    answers: NDArray[np.float64]
    name: str = "said"
    head: str = "target"
    training_keys: frozenset[bytes] = frozenset()
    asked: list[list[str]] = field(default_factory=list)
    reads: tuple[Role, ...] = (Role.TEXT,)

    @property
    def path(self) -> Path:
        return Path("models") / self.name

    @property
    def recipe(self) -> dict[str, Any]:
        return {"name": self.name}

    @property
    def model(self) -> Any:
        return self

    @property
    def parameters(self) -> int:
        return 10

    @property
    def inference(self) -> None:
        return None

    def of_task(self, name: str) -> "Said":
        return self

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        return self.answers[[int(text.removeprefix("row ")) for text in texts]]


def rows_table(labels: Sequence[Any], start: int = 0, groups: Sequence[str] | None = None) -> Table:
    """Rows `row START` and on, with labels."""
    columns: dict[str, Any] = {
        "text": [f"row {start + row}" for row in range(len(labels))],
        "label": list(labels),
    }
    roles = {"text": "text", "label": "label"}
    if groups is not None:
        columns["document"], roles["group"] = list(groups), "document"
    return Table.from_dict(columns, roles=roles)


def evidence(labels: Sequence[Any], **more: Any) -> Evidence:
    """Validation rows `row 0` and on; no training rows."""
    validation = rows_table(labels, **more)
    return Evidence(validation.take([]), validation)


def silent(what: str, done: int, total: int) -> None:
    """Hears nothing."""
    assert 0 <= done <= total


def soft(rng: np.random.Generator, targets: NDArray[Any], classes: int, skill: float) -> Any:
    """Probabilities [n, classes] that know the truth the better the more skill."""
    logits = rng.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += skill
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def write_tfidf(
    folder: Path, labels: tuple[str, ...] = LABELS, *, words: int = 1, temperature: float = 1.0
) -> ModelFolder:
    """A folder with a small real model, whose outputs stand in the given order."""
    task = Classification(labels=labels)
    targets = task.encode([LABELS[target] for target in TARGETS], "rows")
    model = fit_classical(
        Tfidf(words=words, strength=10.0), task, TEXTS, targets, np.ones(len(TEXTS)), None, 0
    )
    return keep(folder, model, task, temperature)


def keep(folder: Path, model: Any, task: Task, temperature: float = 1.0) -> ModelFolder:
    """A model written and opened again."""
    write_folder(
        folder,
        model,
        task,
        columns={"text": "text", "label": "label"},
        recipe={"name": folder.name},
        scorecard=Scorecard({"accuracy": 1.0}, temperature=temperature),
        training_keys=[],
    )
    return load_model(folder)


__all__ = [
    "LABELS",
    "TARGETS",
    "TEXTS",
    "Said",
    "evidence",
    "keep",
    "rows_table",
    "silent",
    "soft",
    "write_tfidf",
]
