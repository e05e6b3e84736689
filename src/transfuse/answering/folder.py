"""The model folder: what a run or a stage leaves for predicting, judging and building on.

Weights are safetensors beside a `config.json` and the tokenizer, as transformers writes them;
`transfuse.json` adds the task, the recipe, the scorecard and the fingerprints of the data. Nothing
is pickled.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.answering.about import ABOUT, FORMAT, ROWS, read_about
from transfuse.answering.base import Answerer, Kept
from transfuse.answering.cascade import Cascade
from transfuse.answering.classical import ClassicalModel
from transfuse.answering.dynamic import DynamicModel
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.entailment import EntailmentModel
from transfuse.answering.exported import OnnxModel, OpenVinoModel
from transfuse.answering.text_labels import TextLabels
from transfuse.data import Role, Table
from transfuse.errors import DataError, ModelError, Problem
from transfuse.evaluation import Scorecard, apply_temperature, evaluate
from transfuse.files import write_whole
from transfuse.models import (
    Engine,
    Feeds,
    Inference,
    Network,
    load_network,
    probe_engine,
    read_inputs,
    save_network,
)
from transfuse.recipe import build, nearest, spec_of
from transfuse.tasks import TASKS, Task

__all__ = ["ModelFolder", "load_model", "model_bytes", "rewrite_scorecard", "write_folder"]

_NETWORK = "network"

KINDS: dict[str, type[Answerer]] = {
    "tfidf": ClassicalModel,
    "entailment": EntailmentModel,
    "text_labels": TextLabels,
    "ensemble": Ensemble,
    "cascade": Cascade,
    "dynamic": DynamicModel,
    "onnx": OnnxModel,
    "openvino": OpenVinoModel,
}
"""Models that are no network of ours, by the name that the folder gives them."""


@dataclass(frozen=True)
class ModelFolder:
    """An opened model folder."""

    path: Path
    model: Kept
    task: Task
    head: str
    temperature: float
    scorecard: Scorecard
    recipe: dict[str, Any]
    training_keys: frozenset[bytes]
    """Content keys of the rows that were learnt from."""

    inference: Inference | None = None
    """The network ready to answer; None for a model that is none of ours."""

    tasks: Mapping[str, tuple[Task, Scorecard]] = field(default_factory=dict)
    """With several tasks, each one's own and what was measured on it; `head` names the one that
    answers."""

    def of_task(self, name: str) -> "ModelFolder":
        """The same model answering for another of its tasks.

        Args:
            name: The task.

        Raises:
            ModelError: If the model has no such task.
        """
        if name not in self.tasks:
            known = f"one of {', '.join(self.tasks)}" if self.tasks else "no task's name"
            fix = nearest(name, self.tasks) if self.tasks else "It has one task alone."
            raise ModelError(Problem(str(self.path), f"has no task {name!r}", known, fix))
        task, card = self.tasks[name]
        return replace(self, task=task, head=name, temperature=card.temperature)

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of the columns that it reads."""
        return self.model.encoder.reads if isinstance(self.model, Network) else self.model.reads

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """Calibrated probabilities (or values) for rows, [n, outputs].

        Args:
            rows: Texts, or what `Table.inputs` gives for the roles of `reads`.
        """
        if isinstance(self.model, Network):
            assert self.inference is not None
            feed = Feeds(self.model).feed(read_inputs(self.model.encoder, rows))
            logits = self.inference.logits(feed, self.head)
            scores = self.task.scores(logits).double().numpy()
        else:
            scores = self.model.scores(rows)
        if self.task.kind == "classification":
            scores = apply_temperature(scores, self.temperature)
        return scores

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """What a person reads: a label, labels, or a number for each row."""
        return self.task.decode(self.scores(rows))

    def evaluate(self, table: Table, *, allow_trained_rows: bool = False) -> Scorecard:
        """Score the model on a labelled table.

        Args:
            table: Rows and labels.
            allow_trained_rows: Whether rows that were trained on may count. Default: no.

        Raises:
            DataError: If the table holds rows that were trained on, or labels that are unknown.
        """
        seen = sum(key in self.training_keys for key in table.row_keys())
        if seen and not allow_trained_rows:
            raise DataError(
                Problem(
                    table.name,
                    f"{seen} of {len(table)} rows were trained on",
                    "rows that the model has not seen",
                    "Remove them, or ask for it by name with --allow-trained-rows.",
                )
            )
        targets = self.task.targets(table)
        scores = self.scores(table.inputs(self.reads))
        metrics = evaluate(self.task.metrics, scores, targets)
        return Scorecard(metrics, {}, self.temperature, len(table), {"test": table.fingerprint})


def write_folder(
    folder: Path,
    model: Kept,
    task: Task,
    *,
    columns: Mapping[str, str],
    recipe: Mapping[str, Any],
    scorecard: Scorecard,
    training_keys: Iterable[bytes],
    tasks: Mapping[str, tuple[Task, Scorecard]] | None = None,
    chosen: Mapping[str, Any] | None = None,
    made: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write a model into a new folder; the caller renames it when all is there.

    Args:
        folder: Where to write; created if need be.
        model: The model.
        task: What it answers; with several tasks that of the first.
        columns: The table's columns, role by column.
        recipe: The recipe that it comes from.
        scorecard: What was measured on it.
        training_keys: Content keys of the rows that were learnt from, 16 bytes each.
        tasks: With several tasks, each one's own and what was measured on it. Default: one task,
            whose head is named target.
        chosen: What a search has chosen, by the path in the recipe. Default: nothing.
        made: What the stages after training have done, in their order. Default: nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Network):
        save_network(model, folder)
        kind = _NETWORK
    else:
        model.save(folder)
        kind = next(name for name, each in KINDS.items() if isinstance(model, each))
    keys = np.frombuffer(b"".join(training_keys), np.uint8).reshape(-1, 16)
    save_file({"keys": keys}, folder / ROWS)
    about = {
        "format": FORMAT,
        "kind": kind,
        "head": next(iter(tasks or {}), "target"),
        "task": spec_of(TASKS, task),
        "labels": list(task.label_names),
        "columns": dict(columns),
        **({"tasks": _told(tasks)} if tasks else {}),
        "recipe": dict(recipe),
        "chosen": dict(chosen or {}),
        **({"made": [dict(each) for each in made]} if made else {}),
        "scorecard": scorecard.to_dict(),
        "versions": {
            name: version(name) for name in ("transfuse", "torch", "transformers", "peft")
        },
    }
    text = json.dumps(about, indent=2, ensure_ascii=False, default=list)
    (folder / ABOUT).write_text(text, encoding="utf-8")


def rewrite_scorecard(folder: Path, scorecard: Scorecard) -> None:
    """Let a model folder tell another scorecard; the rest stays.

    Args:
        folder: A folder that `write_folder` wrote.
        scorecard: What was measured, or the temperature that is answered with.
    """
    about = {**read_about(folder), "scorecard": scorecard.to_dict()}
    write_whole(folder / ABOUT, json.dumps(about, indent=2, ensure_ascii=False))


def model_bytes(folder: Path) -> int:
    """The size of a model on disk, without what tells of its making.

    Args:
        folder: A model folder.
    """
    aside = {ABOUT, ROWS, "README.md", "data.json", "calibration.safetensors"}
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in aside
        and "adapter" not in path.relative_to(folder).parts
    )


def _told(tasks: Mapping[str, tuple[Task, Scorecard]]) -> dict[str, dict[str, Any]]:
    """What a folder says of each of several tasks."""
    return {
        name: {
            "task": spec_of(TASKS, task),
            "labels": list(task.label_names),
            "scorecard": card.to_dict(),
        }
        for name, (task, card) in tasks.items()
    }


def load_model(
    folder: Path | str, engine: Engine | None = None, *, task: str | None = None
) -> ModelFolder:
    """Open a model folder.

    Args:
        folder: A folder that Transfuse wrote.
        engine: The arithmetic that it answers with. Default: what the probe finds fastest here.
        task: Which of several tasks it answers for. Default: the first.

    Raises:
        ModelError: If it is not one, a newer version wrote it, or it has no such task.
    """
    folder = Path(folder)
    about = read_about(folder)
    kind = KINDS.get(about["kind"])
    keys = load_file(folder / ROWS)["keys"]
    card = Scorecard.from_dict(about["scorecard"])
    model: Kept
    if kind is None:
        model = load_network(folder)
    else:
        model = kind.load(folder, partial(load_model, engine=engine))
    if isinstance(model, DynamicModel):
        model = replace(model, engine=engine)
    inference = None
    if isinstance(model, Network):
        inference = Inference(model, engine or probe_engine())
    tasks = {
        name: (
            build(TASKS, told["task"], f"{folder / ABOUT}: tasks.{name}"),
            Scorecard.from_dict(told["scorecard"]),
        )
        for name, told in about.get("tasks", {}).items()
    }
    opened = ModelFolder(
        path=folder,
        model=model,
        task=build(TASKS, about["task"], f"{folder / ABOUT}: task"),
        head=about["head"],
        temperature=card.temperature,
        scorecard=card,
        recipe=about["recipe"],
        training_keys=frozenset(row.tobytes() for row in keys),
        inference=inference,
        tasks=tasks,
    )
    if task is None and not tasks:
        return opened
    return opened.of_task(task or opened.head)
