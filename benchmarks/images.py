"""Pictures: small CIFAR-10, emoji in two styles, digits of two sources, from EfficientNet-Lite0.

CIFAR-10 with 5,000 training pictures: the same network from scratch, a probe of the frozen network
at several sizes of the pictures, and fine-tuned upper layers. Domains: digits of MNIST and USPS,
and emoji as Noto and EmojiTwo draw them, each as source and as target; a recipe that adapts sees
the target's training pictures without labels. Emoji are split by codepoint, so that no symbol that
is tested was learnt in the other style. The interval of a gain is over test pictures and seeds.

Reads `image/*.parquet` of the benchmark data. Each study lies under `runs/benchmarks`; the same
command goes on where it stopped.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring import data_file, machine
from transfuse.study import compare

MODEL = "efficientnet-lite0"
_SOURCE_ONLY = "source-only"
_FOLDER = Path("runs") / "benchmarks"
_UPPER = {"top": {"layers": 8}}
_STEPS = {"max_steps": 300, "batch_size": 64}


def main(rounds: int = 5) -> None:
    """Measure and print.

    Args:
        rounds: Seeds, at most three.
    """
    seeds = range(min(rounds, 3))
    print(machine())
    _show("CIFAR-10, 5,000 training pictures", _cifar(seeds), "scratch")
    for source, target in (("mnist", "usps"), ("usps", "mnist")):
        _show(f"{source} → {target}", _digits(source, target, seeds), _SOURCE_ONLY)
    for source, target in (("noto", "emojitwo"), ("emojitwo", "noto")):
        _show(f"emoji: {source} → {target}", _emoji(source, target, seeds), _SOURCE_ONLY)


def _cifar(seeds: Sequence[int]) -> dict[str, Any]:
    path = str(data_file("image/cifar10_small.parquet"))

    def at(size: int, **others: Any) -> dict[str, Any]:
        return {"model": {"name": MODEL, "size": size}, **others}

    full = {"epochs": 6, "batch_size": 64}
    return {
        "name": "images-cifar",
        "model": {"name": MODEL, "size": 128},
        "data": {"target": {"path": path, "image": "image", "label": "label"}},
        "split": {"by": "column", "validation": 0.05},
        "study": {"seeds": list(seeds), "baselines": ["scratch"], "keep": "none"},
        "recipes": {
            "scratch": at(64, tune="scratch", train=full),
            "probe, 64 px": at(64, tune="frozen"),
            "probe, 128 px": at(128, tune="frozen"),
            "probe, 224 px": at(224, tune="frozen"),
            "upper layers, 128 px": at(128, tune=_UPPER, train={"epochs": 4, "batch_size": 64}),
        },
    }


def _digits(source: str, target: str, seeds: Sequence[int]) -> dict[str, Any]:
    path = str(data_file("image/digits.parquet"))
    data = {
        "source": {"path": path, "where": {"domain": source, "split": "train"}},
        "target": {"path": path, "where": {"domain": target}},
    }
    return _adapting(f"images-{source}-{target}", data, {"by": "column", "validation": 0.0}, seeds)


def _emoji(source: str, target: str, seeds: Sequence[int]) -> dict[str, Any]:
    path = str(data_file("image/emoji.parquet"))
    data = {
        use: {
            "path": path,
            "where": {"domain": style},
            "image": "image",
            "text": None,
            "label": "label",
            "group": "codepoint",
        }
        for use, style in (("source", source), ("target", target))
    }
    split = {"by": "group", "test": 0.3, "validation": 0.0, "across": True}
    return _adapting(f"images-{source}-{target}", data, split, seeds)


def _adapting(
    name: str, data: Mapping[str, Any], split: Mapping[str, Any], seeds: Sequence[int]
) -> dict[str, Any]:
    return {
        "name": name,
        "model": {"name": MODEL, "size": 64},
        "data": dict(data),
        "split": dict(split),
        "tune": _UPPER,
        "train": _STEPS,
        "study": {
            "seeds": list(seeds),
            "baselines": [_SOURCE_ONLY],
            "ceilings": ["oracle"],
            "keep": "none",
        },
        "recipes": {
            _SOURCE_ONLY: {"learn": "source"},
            "oracle": {"learn": "target"},
            "MCC": {"learn": ["source", "mcc"]},
            "DANN": {"learn": ["source", "dann"]},
        },
    }


def _show(title: str, recipe: Mapping[str, Any], baseline: str) -> None:
    began = time.perf_counter()
    folder = compare(recipe, _FOLDER / str(recipe["name"]))
    seconds = time.perf_counter() - began
    table = pd.read_parquet(folder / "study.parquet")
    table = table[(table.metric == "accuracy") & (table.split != "source")]
    print(f"\n{title} ({len(recipe['study']['seeds'])} seeds; the study took {seconds:.0f} s)")
    print(f"  {'recipe':<24}{'accuracy':>9}{'gain over ' + baseline:>36}")
    scores = table[table.kind == "score"].set_index("recipe")
    gains = table[table.kind == "gain"].set_index("recipe")
    for name in recipe["recipes"]:
        line = f"  {name:<24}{100 * scores.loc[name].value:>9.1f}"
        if name in gains.index:
            value, low, high = (100 * gains.loc[name][key] for key in ("value", "low", "high"))
            line += f"{f'{value:+.1f} [{low:+.1f}, {high:+.1f}]':>36}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
