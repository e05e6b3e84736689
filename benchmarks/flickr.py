"""Captions and pictures that find each other: Flickr8k-1000, and names of emoji.

Flickr8k: 800 pictures with 5 captions each to learn from, 200 with 5 each to be found. The
encoders, EfficientNet-Lite0 and MiniLM, stay frozen; towers over them are trained by `clip`, or set
in closed form by `cca`. Dropout, rates, epochs and shrinkage were chosen on 200 of the 800 training
pictures, in two draws; the test pictures took no part. By chance 10 of 200 pictures hold the right
one for 5 % of captions.

Emoji: Noto's drawings with their English names; codepoints are in training or in test, so that
every name that is asked for is new. Settings as for Flickr8k.

The data are read from `image_text` and `image` in the folder `shared/data` beside the repository,
or in the one that `TRANSFUSE_BENCHMARK_DATA` names. Without it nothing is measured.
"""

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.measuring import MODEL, data_file, machine
from transfuse.transfer import transfer

_IMAGES = "efficientnet-lite0"
_SEEDS = 3
_METRICS = (
    "text_to_image_r1",
    "text_to_image_r5",
    "text_to_image_r10",
    "text_to_image_median_rank",
    "image_to_text_r1",
    "image_to_text_r5",
    "image_to_text_r10",
    "image_to_text_median_rank",
)

Pair = tuple[str, str, str]
"""The file of a picture, a text for it, and the item's name."""


@dataclass(frozen=True)
class Way:
    """One way to make the towers, as a recipe would say it."""

    title: str
    learn: Any
    train: Mapping[str, Any]


WAYS = (
    Way("frozen, closed form (cca)", "cca", {"epochs": 1}),
    Way("frozen, trained (clip)", "clip", {"epochs": 30}),
)


def main(rounds: int) -> None:
    """Print a table of recalls and ranks for each data set.

    Args:
        rounds: Not used: there is a run for each seed.
    """
    print(f"{machine()}, {MODEL} and {_IMAGES}, {_SEEDS} seeds\n")
    with TemporaryDirectory() as kept:
        folder = Path(kept)
        _table("Flickr8k-1000", *_flickr(folder), folder)
        _table("Emoji, English names of unseen codepoints", *_emoji(folder), folder)


def _table(title: str, train: Sequence[Pair], test: Sequence[Pair], folder: Path) -> None:
    learnt, asked = (len({item for *_, item in rows}) for rows in (train, test))
    print(f"## {title}: {learnt} to learn from, {asked} to be found\n")
    print("|  | " + " | ".join(name.replace("_", " ") for name in _METRICS) + " |")
    print("|---|" + "---|" * len(_METRICS))
    print(f"| chance | {' | '.join(_chance(name, len(test), asked) for name in _METRICS)} |")
    train_file, test_file = folder / "train.csv", folder / "test.csv"
    _write(train, train_file)
    _write(test, test_file)
    for way in WAYS:
        found = [_run(way, train_file, test_file, folder, seed) for seed in range(_SEEDS)]
        cells = [_shown(name, [each[name] for each in found]) for name in _METRICS]
        print(f"| {way.title} | {' | '.join(cells)} |", flush=True)
    print()


def _run(way: Way, train: Path, test: Path, folder: Path, seed: int) -> Mapping[str, float]:
    columns = {"image": "picture", "text": "text", "group": "item", "label": None}
    recipe = {
        "model": {
            "columns": {"text": MODEL, "image": _IMAGES},
            "fusion": {"towers": {"dropout": 0.8}},
        },
        "data": {
            "target": {"path": str(train), **columns},
            "test": {"path": str(test), **columns},
        },
        # Some names and captions stand under two pictures; each is asked for all the same.
        "clean": {"duplicates": False},
        "split": {"validation": 0.0},
        "task": "matching",
        "learn": way.learn,
        "tune": {"frozen": {"learning_rate": 2e-3}},
        "train": {"batch_size": 128, **way.train},
        "seed": seed,
    }
    with TemporaryDirectory(dir=folder) as run:
        return transfer(recipe, Path(run) / "out").scorecard.metrics


def _shown(name: str, values: Sequence[float]) -> str:
    """The mean over seeds, and their standard deviation."""
    if name.endswith("rank"):
        return f"{statistics.mean(values):.1f}"
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(set(values)) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def _chance(name: str, texts: int, items: int) -> str:
    """What answers drawn at random reach, about."""
    each = texts / items
    if name.endswith("rank"):
        # Half of the queries have a right answer by then.
        half = items / 2 if name.startswith("text") else texts * (1 - 0.5 ** (1 / each))
        return f"{half:.0f}"
    count = int(name.rpartition("r")[2])
    share = count / items if name.startswith("text") else 1 - (1 - count / texts) ** each
    return f"{100 * share:.1f}"


def _flickr(folder: Path) -> tuple[list[Pair], list[Pair]]:
    parts: dict[str, list[Pair]] = {"train": [], "test": []}
    rows = pq.read_table(data_file("image_text/flickr8k_1000.parquet")).to_pylist()
    for number, row in enumerate(rows):
        path = _picture(folder, f"flickr-{number}.jpg", row["image"]["bytes"])
        parts[row["split"]] += [(path, said, str(number)) for said in row["captions"]]
    return parts["train"], parts["test"]


def _emoji(folder: Path) -> tuple[list[Pair], list[Pair]]:
    rows = pq.read_table(data_file("image/emoji.parquet")).to_pylist()
    drawn = [row for row in rows if row["domain"] == "noto"]
    order = np.random.default_rng(0).permutation(len(drawn))
    test = set(order[:200].tolist())
    parts: tuple[list[Pair], list[Pair]] = ([], [])
    for number, row in enumerate(drawn):
        path = _picture(folder, f"emoji-{row['codepoint']}.png", row["image"]["bytes"])
        parts[number in test].append((path, row["name_en"], row["codepoint"]))
    return parts


def _picture(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def _write(rows: Sequence[Pair], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "text", "item"])
        writer.writerows(rows)
