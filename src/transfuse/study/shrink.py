"""The study that looks for the lightest form of a model that keeps enough of its score."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfuse.answering.about import read_about
from transfuse.data.columns import WRITTEN
from transfuse.recipe import build
from transfuse.tasks import TASKS
from transfuse.transfer.derived import derived

__all__ = ["AS_IT_IS", "left_out", "shrinking"]

AS_IT_IS = "as-it-is"

_LAYERED = ("prune_width", "prune_layers")
"""Stages for transformers, which a bag of token vectors is not."""

_OF_TEXTS = ("trim_vocabulary", "static")
"""What is for models that read texts."""

_OWN_WORDS = {"trim_vocabulary": {"frequent": 2000}}

_CANDIDATES: dict[str, tuple[str, tuple[Any, ...]]] = {
    AS_IT_IS: ("As it is", ()),
    "vocabulary": ("Words of the domain only", (_OWN_WORDS,)),
    "bfloat16": ("16 bits on disk", ("bfloat16",)),
    "onnx": ("ONNX", ("onnx",)),
    "int8": ("8 bits", ("int8",)),
    "openvino": ("8 bits, OpenVINO", ("openvino",)),
    "words-int8": ("Own words, 8 bits", (_OWN_WORDS, "int8")),
    "words-openvino": ("Own words, 8 bits, OpenVINO", (_OWN_WORDS, "openvino")),
    "width-openvino": (
        "Half the width, own words, 8 bits",
        ("prune_width", _OWN_WORDS, "openvino"),
    ),
    "layers-openvino": (
        "Half the layers, own words, 8 bits",
        ("prune_layers", _OWN_WORDS, "openvino"),
    ),
    "layers-width-openvino": (
        "Half of both, own words, 8 bits",
        ("prune_layers", "prune_width", _OWN_WORDS, "openvino"),
    ),
}
"""What is tried, by name: a title and the stages."""


def left_out(folder: Path) -> tuple[str, ...]:
    """What is not tried, since it is for models that read texts alone.

    Args:
        folder: The model's folder.
    """
    texts = set(read_about(folder)["columns"].values()) & set(WRITTEN)
    return () if texts else _OF_TEXTS


def _can(stages: tuple[Any, ...]) -> bool:
    """Whether what the stages need is installed."""
    return "openvino" not in stages or all(map(find_spec, ("openvino", "nncf")))


def _named(stage: Any) -> str:
    return str(next(iter(stage)) if isinstance(stage, dict) else stage)


def _taught(folder: Path) -> dict[str, Any]:
    """A bag of the model's token vectors that learns from it."""
    task = build(TASKS, read_about(folder)["task"], f"{folder}: task")
    # Only the answers of classes can be softened.
    lessons = [{"distil": {"teacher": str(folder)}}] if task.kind == "classification" else []
    return {
        "title": "Bag of token vectors, taught",
        "model": {"static": {"of": str(folder)}},
        "tune": {"lp_ft": {"learning_rate": 1e-3, "head_learning_rate": 1e-3}},
        "learn": [*lessons, "target"],
        "train": {"epochs": 5},
    }


def shrinking(
    folder: Path, *, keep: float = 0.99, data: Path | None = None, name: str = ""
) -> dict[str, Any]:
    """The recipe of a study over layers, width, vocabulary, precision and a bag of token vectors.

    Each recipe makes one lighter model of the given one; all are measured on the same test rows
    beside the model as it is. Of those that keep enough of its score on the validation rows, the
    study keeps the one with the least product of size and time. OpenVINO is tried where it is
    installed.

    Args:
        folder: The model's folder.
        keep: Share of the model's score that has to be kept, in (0, 1]. Default: 0.99.
        data: A file of labelled rows in place of those of the model's recipe. Default: none.
        name: What the study is called. Default: the model's name and `compressed`.

    Returns:
        The recipe.

    Raises:
        ModelError: If the folder holds no model of Transfuse, or one of several tasks.
    """
    whole = derived([folder], (), data=data)
    model = whole.pop("model")
    name = name or f"{whole.pop('name').removesuffix('-again')}-compressed"
    bag = "static" in (read_about(folder)["recipe"].get("model") or {})
    missing = left_out(folder)
    recipes: dict[str, Any] = {}
    for key, (title, stages) in _CANDIDATES.items():
        suited = [stage for stage in stages if _named(stage) not in missing]
        if len(suited) < len(stages):
            title = title.replace(", own words", "")
            if tuple(suited) in [each for _, each in _CANDIDATES.values()]:
                continue
        if not (bag and any(each in suited for each in _LAYERED)) and _can(stages):
            recipes[key] = {"title": title, "model": model, **({"then": suited} if suited else {})}
    if not bag and "static" not in missing:
        recipes["static"] = _taught(folder)
    seed = whole.pop("seed", 0)
    return {
        **whole,
        "name": name,
        "title": "A lighter model that keeps its score",
        "description": f"The lightest form that keeps {keep:.1%} of the validation score.",
        "model": model,
        "study": {
            "seeds": [seed],
            "baselines": [AS_IT_IS],
            "keep": "lightest",
            "within": keep,
            # Times are measured: nothing else may run beside.
            "workers": 1,
        },
        "recipes": recipes,
    }
