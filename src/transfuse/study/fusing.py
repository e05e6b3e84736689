"""The study that tries the ways to make one model of several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfuse.answering.about import read_about
from transfuse.transfer.derived import derived

__all__ = ["fusing"]

_ANSWERS = ("average", "learned", "greedy", "stacking", "gate")
_MERGES = ("soup", "task_arithmetic", "ties", "regmean", "wudi", "tsv_m", "layerwise", "wemoe")


def fusing(folders: Sequence[Path], *, data: Path | None = None, name: str = "") -> dict[str, Any]:
    """The recipe of a study over single models, ensembles and merges.

    The models themselves stand in it as they are, so that its report draws score against time and
    size over all of them. Weights are merged only where every recipe names the same pretrained
    model.

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
    told = [read_about(folder)["recipe"] for folder in folders]
    recipes: dict[str, Any] = {}
    for number, (folder, recipe) in enumerate(zip(folders, told, strict=True), start=1):
        title = recipe.get("title") or recipe.get("name") or folder.name
        recipes[f"model-{number}"] = {
            "title": f"{title} ({number})",
            "model": {"folders": [str(folder)]},
        }
    methods = [*_ANSWERS, *(_MERGES if _one_source(told) else ())]
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


def _one_source(told: Sequence[dict[str, Any]]) -> bool:
    """Whether all recipes begin from the same pretrained model."""
    sources = [
        (options.get("name"), options.get("layers"))
        for options in (recipe.get("model", {}).get("pretrained") for recipe in told)
        if options
    ]
    return len(sources) == len(told) and len(set(sources)) == 1
