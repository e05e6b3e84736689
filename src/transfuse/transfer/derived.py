"""The recipe of what comes after: trained models, their own data, and stages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfuse.answering.about import read_about
from transfuse.data import READ
from transfuse.errors import ModelError, Problem

__all__ = ["derived"]

_KEPT = ("data", "clean", "split", "task", "budget", "shots", "seed")
"""What a model's recipe says of rows, which is so for what is made of the model too."""


def derived(
    folders: Sequence[Path | str], then: Sequence[Any], *, data: Path | None = None, name: str = ""
) -> dict[str, Any]:
    """A recipe that takes trained models and does something with them.

    Their rows are read and split as the first one's recipe says, so that what it learnt, was chosen
    by and was scored on stay apart. Models that know different labels are asked about all of them.

    Args:
        folders: Model folders.
        then: Stages, as a recipe writes them.
        data: A file of labelled rows in place of those of the first model's recipe. Default: none.
        name: What the recipe is called. Default: the first model's name and the stages'.

    Returns:
        The recipe.

    Raises:
        ModelError: If a folder holds no model of Transfuse, or one of several tasks.
    """
    told = [read_about(Path(folder)) for folder in folders]
    for folder, about in zip(folders, told, strict=True):
        if about.get("tasks"):
            raise ModelError(
                Problem(str(folder), "is a model of several tasks", "a model of one task")
            )
    first = told[0]["recipe"]
    kept = {key: first[key] for key in _KEPT if first.get(key) is not None}
    if data is not None:
        columns = {key: kept["data"]["target"].get(key) for key in (*map(str, READ), "label")}
        target = {key: value for key, value in columns.items() if value is not None}
        kept["data"] = {"target": {"path": str(data), **target}}
        kept.pop("budget", None)
        kept.pop("shots", None)
    kept |= _over_all_labels(told)
    # One without a name is refused when the recipe is read.
    stages = "-".join(
        str(next(iter(each), "") if isinstance(each, dict) else each) for each in then
    )
    return {
        **kept,
        "name": name or f"{first.get('name', 'model')}-{stages or 'again'}",
        "model": {"folders": [str(folder) for folder in folders]},
        **({"then": list(then)} if then else {}),
    }


def _over_all_labels(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The task over the labels of all models, those of the first one first, where they differ.

    What is made of them answers with all of them, and must be judged so: a row of the first model
    that it takes for a label of another one is wrong.
    """
    specs = [about["task"] for about in told]
    if any(not isinstance(spec, dict) for spec in specs):
        return {}
    known = [next(iter(spec.items())) for spec in specs]
    kind, options = known[0]
    labels = [each.get("labels") or () for _, each in known]
    if {other for other, _ in known} != {kind} or len({frozenset(each) for each in labels}) < 2:
        return {}
    union = list(dict.fromkeys(name for each in labels for name in each))
    return {"task": {kind: {**options, "labels": union}}}
