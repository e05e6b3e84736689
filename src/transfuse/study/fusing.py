"""The study that tries the ways to make one model of several."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfuse.answering.about import read_about
from transfuse.fusion import ANSWERS
from transfuse.fusion.answers import AnswerFusion
from transfuse.recipe import build
from transfuse.tasks import TASKS
from transfuse.transfer import STAGES
from transfuse.transfer.derived import derived

__all__ = ["fusing"]

_ANSWERS = ("average", "learned", "greedy", "stacking", "gate")
_READ = ("name", "layers", "take", "pooling", "max_length", "size", "sound")
_MERGES = ("soup", "task_arithmetic", "ties", "regmean", "wudi", "tsv_m", "layerwise", "wemoe")


def fusing(folders: Sequence[Path], *, data: Path | None = None, name: str = "") -> dict[str, Any]:
    """The recipe of a study over single models, ensembles and merges.

    The models themselves stand in it as they are, so that its report draws score against time and
    size over all of them. Ways that are not for the models' kind of task are left out, and weights
    are merged only where every recipe trains the same pretrained model as it is.

    Args:
        folders: Two or more model folders.
        data: A file of labelled rows in place of those of the first model's recipe. Default: none.
        name: What the study is called. Default: the first model's name and `fused`.

    Returns:
        The recipe.

    Raises:
        ModelError: If a folder holds no model of Transfuse, or one of several tasks.
    """
    whole = derived(folders, (), data=data)
    first = whole.pop("name").removesuffix("-again")
    abouts = [read_about(folder) for folder in folders]
    told = [about["recipe"] for about in abouts]
    recipes: dict[str, Any] = {}
    for number, (folder, recipe) in enumerate(zip(folders, told, strict=True), start=1):
        title = recipe.get("title") or recipe.get("name") or folder.name
        recipes[f"model-{number}"] = {
            "title": f"{title} ({number})",
            "model": {"folders": [str(folder)]},
        }
    task = build(TASKS, abouts[0]["task"], f"{folders[0]}: task")
    methods = [*_ANSWERS, *(_MERGES if _one_source(abouts) else ())]
    roles = {role for about in abouts for role in about["columns"].values()}
    methods = [each for each in methods if task.kind in _kinds(each) and _suits(each, roles)]
    recipes |= {method: {"title": method, "then": method} for method in methods}
    seed = whole.pop("seed", 0)
    return {
        **whole,
        "name": name or f"{first}-fused",
        "title": "One model of several",
        "description": "Single models, ensembles of their answers and merges of their weights.",
        "study": {
            "seeds": [seed],
            "baselines": ["model-1"],
            # Times are measured: nothing else may run beside.
            "workers": 1,
        },
        "recipes": recipes,
    }


def _kinds(method: str) -> Sequence[str]:
    """The kinds of task that a method is for."""
    kind = ANSWERS.get(method)
    if kind is not None and issubclass(kind, AnswerFusion):
        return kind.kinds
    # By default it makes answers sure, and numbers are never unsure.
    return ("classification", "multilabel") if method == "layerwise" else tuple(TASKS)


def _suits(method: str, roles: set[str]) -> bool:
    """Whether the models' tables have what a method must read."""
    return set(STAGES[method].must_read or ()) <= roles


def _one_source(abouts: Sequence[dict[str, Any]]) -> bool:
    """Whether all are networks trained from the same pretrained model, read the same way."""
    sources = [
        json.dumps([options.get(name) for name in _READ], default=str)
        for about in abouts
        if about["kind"] == "network" and not about.get("made")
        if (options := about["recipe"].get("model", {}).get("pretrained"))
    ]
    return len(sources) == len(abouts) and len(set(sources)) == 1
