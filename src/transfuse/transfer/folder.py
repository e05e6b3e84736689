"""The model folder: what a run leaves for predicting, judging and building on.

Weights are safetensors beside a `config.json` and the tokenizer, as transformers writes them;
`transfuse.json` adds the task, the recipe, the scorecard and the fingerprints of the data. Nothing
is pickled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from transfuse.data import Table
from transfuse.errors import DataError, ModelError, Problem
from transfuse.evaluation import Scorecard, apply_temperature, evaluate
from transfuse.models import (
    Engine,
    Feeds,
    Inference,
    LinearHead,
    Network,
    load_network,
    probe_engine,
    read_inputs,
    save_network,
)
from transfuse.recipe import build, nearest, spec_of
from transfuse.tasks import TASKS, Regression, Task
from transfuse.transfer.about import ABOUT, FORMAT, ROWS, read_about
from transfuse.transfer.choices import Pretrained
from transfuse.transfer.classical import ClassicalModel
from transfuse.transfer.entailment import EntailmentModel
from transfuse.transfer.plan import Plan
from transfuse.transfer.readme import model_readme
from transfuse.transfer.run import DELTA, Outcome
from transfuse.transfer.trained import Kept
from transfuse.transfer.workspace import Workspace

__all__ = ["ModelFolder", "load_model", "save_model"]

_KINDS: dict[str, type[ClassicalModel] | type[EntailmentModel]] = {
    "tfidf": ClassicalModel,
    "entailment": EntailmentModel,
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

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities (or values) for texts, [n, outputs].

        Args:
            texts: The texts.
        """
        if isinstance(self.model, Network):
            assert self.inference is not None
            feed = Feeds(self.model).feed(read_inputs(self.model.encoder, texts))
            logits = self.inference.logits(feed, self.head)
            scores = self.task.scores(logits).double().numpy()
        else:
            scores = self.model.scores(texts)
        if self.task.kind == "classification":
            scores = apply_temperature(scores, self.temperature)
        return scores

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """What a person reads: a label, labels, or a number for each text."""
        return self.task.decode(self.scores(texts))

    def evaluate(self, table: Table, *, allow_trained_rows: bool = False) -> Scorecard:
        """Score the model on a labelled table.

        Args:
            table: Texts and labels.
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
        targets = self.task.encode(table.labels(), table.name)
        scores = self.scores(table.texts())
        metrics = evaluate(self.task.metrics, scores, targets)
        return Scorecard(metrics, {}, self.temperature, len(table), {"test": table.fingerprint})


def save_model(
    outcome: Outcome, workspace: Workspace, folder: Path, run: Path | None = None
) -> None:
    """Write a run's model into a new folder; the caller renames it when all is there.

    Args:
        outcome: What the run left.
        workspace: The run's data.
        folder: Where to write.
        run: The run's own folder; an adapter that it left there moves along. Default: none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if run is not None and (run / DELTA).exists():
        for part in (run / DELTA).iterdir():
            part.rename(folder / part.name)
        _name_source(folder / "adapter" / "adapter_config.json", outcome.plan)
    task = workspace.prepared.target.task
    model = outcome.trained.model
    tasks: dict[str, Task] = {}
    if isinstance(model, Network) and outcome.tasks:
        tasks = {
            name: _on_own_scale(model, name, workspace.prepared.tasks[name].task)
            for name in outcome.tasks
        }
        task = next(iter(tasks.values()))
        save_network(model, folder)
        kind = "network"
    elif isinstance(model, Network):
        task = _plain_network(model, task)
        save_network(model, folder)
        kind = "network"
    else:
        model.save(folder)
        kind = next(name for name, each in _KINDS.items() if isinstance(model, each))
    keys = [
        key
        for name, rows in outcome.rows.items()
        for key in workspace.prepared.domain(name).table.take(rows).row_keys()
    ]
    save_file({"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)}, folder / ROWS)
    about = {
        "format": FORMAT,
        "kind": kind,
        "head": next(iter(tasks), "target"),
        "task": spec_of(TASKS, task),
        "labels": list(task.label_names),
        "columns": {
            str(k): str(v) for k, v in workspace.prepared.target.table.schema.roles.items()
        },
        **({"tasks": _told(outcome, tasks)} if tasks else {}),
        "recipe": outcome.plan.recipe(),
        "chosen": dict(outcome.chosen),
        "scorecard": outcome.scorecard.to_dict(),
        "versions": {
            name: version(name) for name in ("transfuse", "torch", "transformers", "peft")
        },
    }
    text = json.dumps(about, indent=2, ensure_ascii=False, default=list)
    (folder / ABOUT).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(model_readme(outcome, model, task), encoding="utf-8")


def _told(outcome: Outcome, tasks: Mapping[str, Task]) -> dict[str, dict[str, Any]]:
    """What a folder says of each of several tasks."""
    return {
        name: {
            "task": spec_of(TASKS, task),
            "labels": list(task.label_names),
            "scorecard": outcome.tasks[name].scorecard.to_dict(),
        }
        for name, task in tasks.items()
    }


def _name_source(config: Path, plan: Plan) -> None:
    """Let an adapter name its source as the recipe does, and not by a path of this machine."""
    if config.exists() and isinstance(plan.model, Pretrained):
        told = json.loads(config.read_text(encoding="utf-8"))
        told["base_model_name_or_path"] = plan.model.name
        config.write_text(json.dumps(told, indent=2), encoding="utf-8")


def _plain_network(network: Network, task: Task) -> Task:
    """Leave one head that answers on the labels' own scale, as plain transformers expects."""
    for name in [name for name in network.heads if name != "target"]:
        del network.heads[name]
    return _on_own_scale(network, "target", task)


def _on_own_scale(network: Network, name: str, task: Task) -> Task:
    """Let a head of a regression answer on its labels' own scale."""
    head = network.heads[name]
    if not isinstance(task, Regression) or not isinstance(head, LinearHead):
        return task
    assert task.mean is not None
    assert task.deviation is not None
    head.classifier.weight.data *= task.deviation
    head.classifier.bias.data = head.classifier.bias.data * task.deviation + task.mean
    return Regression(mean=0.0, deviation=1.0)


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
    kind = _KINDS.get(about["kind"])
    keys = load_file(folder / ROWS)["keys"]
    card = Scorecard.from_dict(about["scorecard"])
    model = load_network(folder) if kind is None else kind.load(folder)
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
