"""Keeping a run's model as a folder."""

import json
import shutil
from pathlib import Path

from transfuse.answering import write_folder
from transfuse.answering.about import ROWS
from transfuse.evaluation import Scorecard
from transfuse.models import LinearHead, Network
from transfuse.tasks import Regression, Task
from transfuse.transfer.choices import Columns, Pretrained
from transfuse.transfer.held_out import keep_held_out
from transfuse.transfer.plan import Plan
from transfuse.transfer.readme import model_readme
from transfuse.transfer.run import DELTA, Outcome, learnt_keys
from transfuse.transfer.trained import TrainedFolder
from transfuse.transfer.workspace import Workspace

__all__ = ["save_model"]


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
        for config in (folder / "adapter").rglob("adapter_config.json"):
            _name_source(config, outcome.plan)
    task = workspace.prepared.target.task
    model = outcome.trained.model
    tasks: dict[str, tuple[Task, Scorecard]] = {}
    if isinstance(model, Network) and outcome.tasks:
        tasks = {
            name: (
                _on_own_scale(model, name, workspace.prepared.tasks[name].task),
                found.scorecard,
            )
            for name, found in outcome.tasks.items()
        }
        task = next(iter(tasks.values()))[0]
    elif isinstance(outcome.trained, TrainedFolder):
        # It has labels and a scale of its own already, whatever the rows at hand have.
        task = outcome.trained.task
    elif isinstance(model, Network):
        task = _plain_network(model, task)
    write_folder(
        folder,
        model,
        task,
        columns={str(k): str(v) for k, v in workspace.prepared.target.table.schema.roles.items()},
        recipe=outcome.plan.recipe(),
        scorecard=outcome.scorecard,
        training_keys=sorted(outcome.learnt | learnt_keys(outcome.rows, workspace.prepared)),
        tasks=tasks,
        chosen=outcome.chosen,
        made=outcome.made,
    )
    if isinstance(model, Network) and isinstance(outcome.trained, TrainedFolder):
        _copy_weights(outcome.trained.path, folder)
    keep_held_out(outcome, workspace, folder)
    (folder / "README.md").write_text(model_readme(outcome, model, task), encoding="utf-8")


def _copy_weights(source: Path, folder: Path) -> None:
    """Keep the weights as a stage wrote them: they are opened in 32 bits, whatever they have."""
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        weights = file.suffix == ".safetensors" and file.name != ROWS
        kept = source / file.relative_to(folder)
        if (weights or file.name == "config.json") and kept.is_file():
            shutil.copyfile(kept, file)


def _name_source(config: Path, plan: Plan) -> None:
    """Let an adapter name its source as the recipe does, and not by a path of this machine."""
    match plan.model:
        case Pretrained():
            name = plan.model.name
        case Columns():
            # With one encoder of several that adapters go into, its own folder is the whole one.
            named = {role: part.name for role, part in plan.model.parts.items() if role != "fields"}
            name = named.get(config.parent.name, next(iter(named.values())))
        case _:
            return
    told = json.loads(config.read_text(encoding="utf-8"))
    told["base_model_name_or_path"] = name
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
