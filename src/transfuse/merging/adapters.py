"""Merging LoRA adapters: by laying their ranks side by side, which is exact, or by a short SVD.

Averaging A and B by themselves is no merge of B A; nothing here does that.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from transfuse.errors import ModelError, Problem
from transfuse.files import write_whole
from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk
from transfuse.merging.weights import Reader, open_file

__all__ = ["AdapterReport", "merge_adapters"]

_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(embedding_)?([AB])(\.weight|\.bias)?$")

_Wide = NDArray[np.float64]


class _Factors(NamedTuple):
    """One adapter's change of one module: B A, with everything it is multiplied by in B."""

    a: Floats
    b: Floats
    bias: Floats | None


@dataclass(frozen=True)
class _Adapter:
    folder: Path
    config: Mapping[str, Any]
    factors: Mapping[str, _Factors]
    saved: Mapping[str, Floats]
    endings: Mapping[str, tuple[str, str]]
    """How the names of a module's A and B end."""


@dataclass(frozen=True)
class AdapterReport:
    """What merging adapters has done.

    Args:
        folder: The merged adapter's folder.
        ranks: The rank of each module.
        error: The largest share of a module's change, by Frobenius norm, that the rank could not
            hold; 0 for concatenation.
        notes: What a person should know.
    """

    folder: Path
    ranks: Mapping[str, int]
    error: float
    notes: tuple[str, ...]


def merge_adapters(
    folders: Sequence[Path],
    output: Path,
    *,
    how: Literal["concatenate", "svd"] = "concatenate",
    rank: int | None = None,
    weights: Sequence[float] | None = None,
) -> AdapterReport:
    """Merge LoRA adapters of one model into one adapter, as peft reads it.

    The merged change is the weighted sum of the adapters' changes, each with its own scaling.
    Modules that peft keeps whole (a head) are averaged by the same weights.

    Args:
        folders: peft adapter folders.
        output: The folder to write, a new one.
        how: `concatenate` is exact and has the sum of the ranks; `svd` is the nearest change of a
            given rank. Default: concatenate.
        rank: The rank for `svd`. Default: the largest rank that is merged.
        weights: Weight of each adapter. Default: all alike, and 1 together.

    Returns:
        What was done.

    Raises:
        ModelError: If a folder is no LoRA adapter, or they do not go together.
        ValueError: If the rank is below 1, or the weights are not one for each.
    """
    shares = list(weights) if weights is not None else [1 / len(folders)] * len(folders)
    if len(shares) != len(folders) or not all(map(math.isfinite, shares)):
        raise ValueError(f"{len(folders)} finite weights wanted, got {shares}")
    if rank is not None and rank < 1:
        raise ValueError(f"rank is at least 1, got {rank}")
    adapters = [_read(Path(folder)) for folder in folders]
    _check(adapters)
    notes: list[str] = []
    tensors, ranks, worst = {}, {}, 0.0
    limit = rank or max(len(each.a) for one in adapters for each in one.factors.values())
    for module in sorted({name for one in adapters for name in one.factors}):
        parts = [
            (share, one.factors[module])
            for share, one in zip(shares, adapters, strict=True)
            if module in one.factors
        ]
        a, b = _beside(module, parts)
        if how == "svd":
            a, b, error = _shortened(module, a, b, limit)
            worst = max(worst, error)
        endings = next(one.endings[module] for one in adapters if module in one.endings)
        tensors[module + endings[0]], tensors[module + endings[1]] = a, b
        ranks[module.removeprefix(_PREFIX)] = len(a)
        biases = [share * each.bias for share, each in parts if each.bias is not None]
        if biases:
            tensors[f"{module}.lora_B.bias"] = np.sum(biases, axis=0, dtype=np.float32)
    tensors |= _averaged(adapters, shares, notes)
    output = Path(output)
    if (output / _WEIGHTS).exists():
        raise ModelError(Problem(str(output), "holds another adapter", "a new folder"))
    output.mkdir(parents=True, exist_ok=True)
    beside = output / (_WEIGHTS + ".partial")
    save_file(
        {name: np.ascontiguousarray(values, np.float32) for name, values in tensors.items()},
        beside,
        metadata={"format": "pt"},
    )
    write_whole(output / _CONFIG, json.dumps(_config(adapters, ranks), indent=2))
    beside.replace(output / _WEIGHTS)
    return AdapterReport(output, ranks, worst, tuple(notes))


def _read(folder: Path) -> _Adapter:
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ModelError(Problem(str(folder), "is no LoRA adapter", f"a folder with {_CONFIG}"))
    if config.get("use_dora"):
        raise ModelError(
            Problem(
                str(folder),
                "is a DoRA adapter, whose magnitudes have no sum",
                "a LoRA adapter",
                "Merge it into its model and merge the models.",
            )
        )
    found: dict[str, dict[str, Floats]] = {}
    endings: dict[str, dict[str, str]] = {}
    saved: dict[str, Floats] = {}
    desk = Desk()
    with Reader() as reader:
        for name, stored in open_file(folder / _WEIGHTS):
            values = np.empty(stored.size, np.float32)
            reader.floats(stored, 0, values, desk)
            values = values.reshape(stored.shape)
            match = _FACTOR.match(name)
            if match is None:
                saved[name] = values
                continue
            side = "bias" if match[4] == ".bias" else match[3]
            found.setdefault(match[1], {})[side] = values
            endings.setdefault(match[1], {})[side] = name.removeprefix(match[1])
    if broken := [name for name, sides in found.items() if not {"A", "B"} <= set(sides)]:
        raise ModelError(Problem(str(folder), f"{broken[0]} has not both A and B"))
    factors = {
        name: _Factors(
            sides["A"],
            sides["B"] * np.float32(scale),
            sides["bias"] * np.float32(scale) if "bias" in sides else None,
        )
        for name, sides in found.items()
        for scale in (_scaling(config, name, len(sides["A"])),)
    }
    ends = {name: (sides["A"], sides["B"]) for name, sides in endings.items()}
    return _Adapter(folder, config, factors, saved, ends)


def _scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    alpha = config["lora_alpha"]
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module.removeprefix(_PREFIX)):
            alpha = value
            break
    return float(alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)


def _check(adapters: Sequence[_Adapter]) -> None:
    first, problems = adapters[0], []
    if not any(one.factors for one in adapters):
        raise ModelError(Problem(str(first.folder), "changes no module"))
    for one in adapters[1:]:
        for key in ("base_model_name_or_path", "task_type", "fan_in_fan_out", "bias"):
            mine, theirs = one.config.get(key), first.config.get(key)
            if mine != theirs and mine is not None and theirs is not None:
                problems.append(
                    Problem(
                        str(one.folder),
                        f"its {key} is {mine!r}",
                        f"{theirs!r}, as in {first.folder}",
                    )
                )
    if problems:
        raise ModelError(problems)


def _beside(module: str, parts: Sequence[tuple[float, _Factors]]) -> tuple[Floats, Floats]:
    """Ranks side by side: [B1 B2] [A1; A2] is B1 A1 + B2 A2."""
    first = parts[0][1]
    for _, each in parts:
        if each.a.shape[1:] != first.a.shape[1:] or len(each.b) != len(first.b):
            raise ModelError(
                Problem(
                    module,
                    f"has the shapes {list(first.a.shape)} and {list(each.a.shape)}",
                    "adapters of one model",
                )
            )
    a = np.concatenate([each.a for _, each in parts])
    b = np.concatenate([each.b * np.float32(share) for share, each in parts], axis=1)
    return a, b


def _shortened(module: str, a: Floats, b: Floats, rank: int) -> tuple[Floats, Floats, float]:
    """The nearest change of a rank, and the share of the whole that it leaves out.

    B A = Qb Rb Ra' Qa' needs the singular values of a matrix no larger than the ranks.
    """
    if a.ndim != 2:
        raise ModelError(
            Problem(module, "is a convolution", "matrices for `svd`", "Use `concatenate`.")
        )
    if rank >= len(a):
        return a, b, 0.0
    left, inner = np.linalg.qr(b.astype(np.float64))
    right, outer = np.linalg.qr(a.astype(np.float64).T)
    u, sizes, v = np.linalg.svd(inner @ outer.T)
    roots: _Wide = np.sqrt(sizes[:rank])
    whole = float(np.linalg.norm(sizes))
    error = float(np.linalg.norm(sizes[rank:])) / whole if whole else 0.0
    short_b = (left @ u[:, :rank]) * roots
    short_a = roots[:, None] * (v[:rank] @ right.T)
    return short_a.astype(np.float32), short_b.astype(np.float32), error


def _averaged(
    adapters: Sequence[_Adapter], shares: Sequence[float], notes: list[str]
) -> dict[str, Floats]:
    """Modules that are kept whole: the mean over the adapters that have them."""
    found = {}
    for name in sorted({name for one in adapters for name in one.saved}):
        mine = [
            (share, one.saved[name])
            for share, one in zip(shares, adapters, strict=True)
            if name in one.saved
        ]
        shapes = {values.shape for _, values in mine}
        total = math.fsum(share for share, _ in mine)
        if len(shapes) > 1 or abs(total) < 1e-8:
            raise ModelError(
                Problem(
                    name,
                    f"has the shapes {sorted(shapes)}"
                    if len(shapes) > 1
                    else "has weights of sum 0",
                    "a module that can be averaged",
                    "Merge adapters without a head of their own, or with the same labels.",
                )
            )
        if len(mine) < len(adapters):
            notes.append(f"{name} is in {len(mine)} of {len(adapters)} adapters only")
        found[name] = np.sum([share / total * values for share, values in mine], axis=0)
    return found


def _config(adapters: Sequence[_Adapter], ranks: Mapping[str, int]) -> dict[str, Any]:
    """The first adapter's config, with a scaling of 1 everywhere."""
    first = adapters[0].config
    usual = max(set(ranks.values()), key=list(ranks.values()).count)
    other = {module: rank for module, rank in sorted(ranks.items()) if rank != usual}
    targets = [one.config.get("target_modules") for one in adapters]
    if all(isinstance(each, list) for each in targets):
        target: Any = sorted({name for each in targets for name in each or ()})
    else:
        # A pattern says nothing of the others' modules.
        same = all(each == targets[0] for each in targets)
        target = targets[0] if same else sorted(ranks)
    saved = sorted({name for one in adapters for name in one.config.get("modules_to_save") or ()})
    return {
        **first,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": other,
        "alpha_pattern": dict(other),
        "use_rslora": False,
        "target_modules": target,
        "modules_to_save": saved or None,
        "inference_mode": True,
    }
