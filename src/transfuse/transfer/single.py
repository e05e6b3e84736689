"""`transfer`: one recipe from Python or the command line, kept in a folder."""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfuse.answering import ModelFolder, load_model
from transfuse.errors import Problem, RecipeError
from transfuse.evaluation import Scorecard
from transfuse.models import Store
from transfuse.training import Callback, Engines, writes
from transfuse.transfer.after import THEN
from transfuse.transfer.domains import Prepared
from transfuse.transfer.folder import save_model
from transfuse.transfer.lock import claimed
from transfuse.transfer.plan import Plan
from transfuse.transfer.prepared import prepare
from transfuse.transfer.reading import read_plan
from transfuse.transfer.run import DELTA, Outcome
from transfuse.transfer.search import run_plan
from transfuse.transfer.start import content_of, model_folders, stage_files
from transfuse.transfer.workspace import Workspace

__all__ = ["Result", "transfer"]


@dataclass(frozen=True)
class Result:
    """What a transfer left."""

    folder: Path
    scorecard: Scorecard
    resumed: bool = False
    """Whether the model was there already, from the same recipe and data."""

    def load(self) -> ModelFolder:
        """Open the model."""
        return load_model(self.folder)


def transfer(
    recipe: Mapping[str, Any] | Plan,
    output: Path | str,
    *,
    callbacks: Sequence[Callback] = (),
    engines: Engines | None = None,
    store: Store | None = None,
) -> Result:
    """Do a recipe and keep its model.

    The same call on the same folder goes on where it stopped; when the model is there, it is not
    made again.

    Args:
        recipe: The recipe, as `transfuse.read_recipe` gives it or written in place; or a plan.
        output: The folder; the model stands in it when all is done.
        callbacks: What watches training. Default: nothing.
        engines: The arithmetic. Default: what the probe finds fastest here.
        store: Where features are kept. Default: the cache folder.

    Returns:
        The folder and its scorecard.

    Raises:
        RecipeError: If the recipe is not right.
        DataError: If the data cannot carry it.
        ModelError: If the model cannot be loaded or does not fit.
        TrainingError: If training fails.
        RunLockedError: If another process works in the folder.
    """
    plan = recipe if isinstance(recipe, Plan) else read_plan(recipe)
    if plan.alone:
        raise RecipeError(
            Problem(
                "alone",
                "asks for a network for each task, and a run keeps one",
                fix="Set it in a recipe of a study, beside one that learns the tasks together.",
            )
        )
    folder = Path(output)
    # Of several processes of one run the first holds the folder and writes; all of them learn.
    with claimed(folder) if writes() else nullcontext():
        for callback in callbacks:
            callback.on_notice("reading and checking the data")
        prepared = prepare(plan)
        workspace = Workspace(prepared, engines or Engines(), store or Store())
        for callback in callbacks:
            for note in prepared.notes:
                callback.on_notice(note)
        done = _finished(folder / "model", plan, _data(plan, prepared))
        if done is not None:
            return Result(folder / "model", done.scorecard, resumed=True)
        outcome = run_plan(plan, workspace, folder, callbacks)
        if writes():
            _keep(outcome, workspace, folder)
    return Result(folder / "model", outcome.scorecard)


def _keep(outcome: Outcome, workspace: Workspace, folder: Path) -> None:
    """Put the model into its place, whole, and clear away what the run needed."""
    beside = folder / "model.new"
    shutil.rmtree(beside, ignore_errors=True)
    save_model(outcome, workspace, beside, folder)
    data = json.dumps(_data(outcome.plan, workspace.prepared))
    (beside / "data.json").write_text(data, encoding="utf-8")
    shutil.rmtree(folder / "model", ignore_errors=True)
    beside.rename(folder / "model")
    for part in (DELTA, THEN, "checkpoint"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _finished(folder: Path, plan: Plan, data: str) -> ModelFolder | None:
    """The model of the same recipe and data, if it stands there."""
    if not (folder / "data.json").exists():
        return None
    found = load_model(folder)
    same_data = json.loads((folder / "data.json").read_text(encoding="utf-8")) == data
    wanted = json.loads(json.dumps(plan.work(), default=list))
    same_recipe = {key: found.recipe.get(key) for key in wanted} == wanted
    return found if same_data and same_recipe else None


def _data(plan: Plan, prepared: Prepared) -> str:
    """Names the rows, and the content of the models and files that a run begins from."""
    return prepared.fingerprint + content_of((*model_folders(plan), *stage_files(plan)))
