"""What is done with each tensor of a merge, decided from headers and configs alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transfuse.errors import ModelError, Problem
from transfuse.merging.heads import Rows, aligned_rows, labels_of, with_labels
from transfuse.merging.layout import Shape
from transfuse.merging.names import base_names, is_statistic, same_bytes, ties, trunk_of
from transfuse.merging.weights import Reader, Stored, Weights

__all__ = ["How", "Job", "MergePlan", "OutDtype", "plan_merge", "read_config"]

How = Literal["mix", "mean", "copy", "rows"]
"""By the method; by the plain mean, where the base lacks the tensor; from the base, or else the
first model, as it is; row by row, as the labels' names say."""

OutDtype = Literal["float32", "bfloat16", "float16"]

_STORED_AS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_MUST_AGREE = ("model_type", "num_attention_heads", "num_key_value_heads", "hidden_act")
_SHOWN = 5


@dataclass(frozen=True)
class Job:
    """One tensor of the merged model.

    Args:
        name: Its name.
        key: The name that keys its randomness: for a tied tensor that of its twin.
        how: What is done.
        base: The base's tensor, if it has it.
        models: Each model's tensor.
        shape: What it will be.
        rows: For a head, where each of its rows comes from.
    """

    name: str
    key: str
    how: How
    base: Stored | None
    models: tuple[Stored, ...]
    shape: Shape
    rows: Rows = ()


@dataclass(frozen=True)
class MergePlan:
    """All of a merge.

    Args:
        jobs: What becomes of each tensor.
        config: The merged model's `config.json`; None where the models have none.
        notes: What a person should know.
    """

    jobs: tuple[Job, ...]
    config: Mapping[str, Any] | None
    notes: tuple[str, ...]


def plan_merge(
    models: Sequence[Weights],
    base: Weights | None,
    *,
    needs_base: bool,
    out_dtype: OutDtype | None = None,
) -> MergePlan:
    """Decide what is done with each tensor.

    Args:
        models: The models.
        base: The base, if there is one.
        needs_base: Whether the method works with differences from the base.
        out_dtype: What floating-point tensors are stored as. Default: as in the first model.

    Returns:
        The plan.

    Raises:
        ModelError: With every way in which the models do not go together.
    """
    notes: list[str] = []
    configs = [read_config(model.folder) for model in models]
    problems = _configs_apart(models, configs)
    tensors = _common(models, problems, notes)
    labels, rows, heads = _heads(models, configs, tensors, notes)
    problems += _shapes_apart(models, [name for name in tensors if name not in heads])
    if problems:
        raise ModelError(problems)
    theirs = {} if base is None else base_names(models[0].tensors, base.tensors)
    if needs_base and base is not None:
        _check_base(models[0], base, theirs, notes)
    twins = ties({name: models[0].tensors[name] for name in tensors})
    jobs = []
    for name in tensors:
        stored = tuple(model.tensors[name] for model in models)
        before = None if base is None or name not in theirs else base.tensors[theirs[name]]
        dtype = stored[0].dtype if out_dtype is None else _STORED_AS[out_dtype]
        shape = stored[0].shape
        how: How = "mix"
        if not stored[0].floating or is_statistic(name):
            how, dtype = "copy", (before or stored[0]).dtype
        elif name in heads:
            how, shape = "rows", (len(labels), *shape[1:])
        elif needs_base and before is None:
            how = "mean"
        key = _twin(name, twins, models)
        jobs.append(Job(name, key, how, before, stored, Shape(dtype, shape), rows))
    notes += _told(jobs)
    return MergePlan(tuple(jobs), _config(configs[0], labels, out_dtype), tuple(notes))


def read_config(folder: Path) -> dict[str, Any]:
    """What a folder's `config.json` says; nothing where there is none.

    Args:
        folder: The folder.

    Raises:
        ModelError: If it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(Problem(str(path), f"is no JSON ({error})")) from None
    if not isinstance(found, dict):
        raise ModelError(Problem(str(path), "is no JSON object"))
    return found


def _configs_apart(
    models: Sequence[Weights], configs: Sequence[Mapping[str, Any]]
) -> list[Problem]:
    problems = []
    for model, config in zip(models[1:], configs[1:], strict=True):
        for key in _MUST_AGREE:
            mine, first = _setting(config, key), _setting(configs[0], key)
            if mine != first and mine is not None and first is not None:
                problems.append(
                    Problem(
                        str(model.folder),
                        f"its {key} is {mine!r}",
                        f"{first!r}, as in {models[0].folder}",
                        "Weights of another architecture cannot be merged; fuse answers instead.",
                    )
                )
    return problems


def _setting(config: Mapping[str, Any], key: str) -> Any:
    inner = config.get("backbone_config")
    return inner.get(key) if isinstance(inner, Mapping) and key in inner else config.get(key)


def _common(models: Sequence[Weights], problems: list[Problem], notes: list[str]) -> list[str]:
    """The names that all have; what only some have must be the copy of a tied weight."""
    names = [set(model.tensors) for model in models]
    common = set.intersection(*names)
    for model, mine in zip(models, names, strict=True):
        more = sorted(mine - common)
        twins = ties(model.tensors) if more else {}
        copies = {*twins, *twins.values()}
        lonely = [name for name in more if name not in copies]
        if lonely:
            problems.append(
                Problem(
                    str(model.folder),
                    f"has {_listed(lonely)}, which not all models have",
                    "models of one architecture",
                )
            )
        elif more:
            notes.append(f"{_listed(more)} repeats a tied weight in {model.folder}; left out")
    if not common:
        problems.append(Problem(str(models[0].folder), "shares no tensor with the others"))
    return sorted(common)


def _heads(
    models: Sequence[Weights],
    configs: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    notes: list[str],
) -> tuple[tuple[str, ...], Rows, set[str]]:
    """The labels of the merged head, its rows, and the tensors that have a row for each label."""
    named = [labels_of(config) for config in configs]
    labels = [names for names in named if names is not None]
    if len(labels) < len(models) or len(set(labels)) == 1:
        return (), (), set()
    trunk = trunk_of(models[0].tensors)
    heads = {
        name
        for name in names
        if not name.startswith(trunk)
        and all(
            model.tensors[name].shape[:1] == (len(mine),)
            for model, mine in zip(models, labels, strict=True)
        )
    }
    union, rows = aligned_rows(labels)
    shared = sum(len(each) > 1 for each in rows)
    notes.append(
        f"the models answer with other labels: of {len(union)} together {shared} are shared, whose "
        f"rows of {_listed(sorted(heads))} are averaged; the others stand side by side"
    )
    return union, rows, heads


def _shapes_apart(models: Sequence[Weights], names: Sequence[str]) -> list[Problem]:
    problems = []
    for model in models[1:]:
        apart = [
            name for name in names if model.tensors[name].shape != models[0].tensors[name].shape
        ]
        if apart:
            first = models[0].tensors[apart[0]].shape
            problems.append(
                Problem(
                    str(model.folder),
                    f"{_listed(apart)} has the shape {list(model.tensors[apart[0]].shape)}",
                    f"{list(first)}, as in {models[0].folder}",
                    "Heads with other labels need labels by name in config.json (id2label).",
                )
            )
    return problems


def _check_base(model: Weights, base: Weights, theirs: Mapping[str, str], notes: list[str]) -> None:
    covered = sum(model.tensors[name].size for name in theirs)
    if covered * 2 < model.size:
        raise ModelError(
            Problem(
                str(base.folder),
                f"has {covered / max(model.size, 1):.0%} of the weights of {model.folder}",
                "the model that the others were tuned from",
            )
        )
    more = sorted(set(base.tensors) - set(theirs.values()))
    if more:
        notes.append(f"{_listed(more)} of the base is in no model; left out")


def _twin(name: str, twins: Mapping[str, str], models: Sequence[Weights]) -> str:
    """The twin's name, if the tensor is tied in every model."""
    twin = twins.get(name)
    if twin is None:
        return name
    with Reader() as reader:
        tied = all(
            same_bytes((model.tensors[name], model.tensors[twin]), reader) for model in models[1:]
        )
    return twin if tied else name


def _told(jobs: Sequence[Job]) -> list[str]:
    notes = []
    plain = [job.name for job in jobs if job.how == "mean"]
    if plain:
        notes.append(f"the base lacks {_listed(plain)}: averaged")
    with Reader() as reader:
        other = [
            job.name
            for job in jobs
            if job.how == "copy"
            and not same_bytes([*job.models, *filter(None, [job.base])], reader)
        ]
    if other:
        notes.append(
            f"{_listed(other)} differs between the models and is not averaged: it is the base's, "
            "or the first model's where the base lacks it"
        )
    if any(is_statistic(name) for name in other):
        notes.append("statistics of BatchNorm belong to other weights now: estimate them anew")
    tied = [job.name for job in jobs if job.key != job.name]
    if tied:
        notes.append(f"{_listed(tied)} is tied and stays so")
    return notes


def _config(
    config: Mapping[str, Any], labels: Sequence[str], out_dtype: OutDtype | None
) -> dict[str, Any] | None:
    if not config:
        return None
    told = with_labels(config, labels) if labels else dict(config)
    if out_dtype is not None:
        told["torch_dtype" if "torch_dtype" in told else "dtype"] = out_dtype
    return told


def _listed(names: Sequence[str]) -> str:
    """A few names and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
