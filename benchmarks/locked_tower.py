"""A text tower trained against a locked picture tower: pictures encoded once, and in every epoch.

`python -m benchmarks.locked_tower --pictures 64 --epochs 4` by itself. Photographs and captions are
made up; what is measured is time. The two ways differ in `train.prefix_cache` alone.
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.image_encoding import photographs
from benchmarks.measuring import MODEL, machine, shown
from transfuse.models import Store
from transfuse.transfer import transfer

IMAGES = "efficientnet-lite0"
_COLOURS = ("red", "green", "blue", "grey")
_THINGS = ("house", "tree", "river", "street", "dog", "cloud", "boat", "field")


def recipe(table: Path, epochs: int, kept: bool) -> dict[str, Any]:
    """Locked-image tuning of towers, with or without kept vectors."""
    return {
        "model": {"columns": {"text": MODEL, "image": IMAGES}, "fusion": "towers"},
        "data": {"target": {"path": str(table), "image": "picture", "text": "text", "label": None}},
        "split": {"test": 0.1, "validation": 0.0},
        "task": "matching",
        "learn": "clip",
        "tune": {"only": {"columns": ["text"], "tune": "full"}},
        "train": {"epochs": epochs, "batch_size": 32, "prefix_cache": kept},
    }


def main(rounds: int = 3, pictures: int = 64, epochs: int = 4) -> None:
    """Measure and print."""
    print(machine())
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        table = folder / "pairs.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "text"])
            for number, path in enumerate(photographs(folder, pictures)):
                colour, thing = _COLOURS[number % 4], _THINGS[number // 4 % 8]
                writer.writerow([path.name, f"a {colour} {thing}, picture {number}"])
        for turn in range(rounds + 1):  # the first does not count
            for kept, found in seconds.items():
                # Nothing is found in a store that another run filled.
                store = Store(folder / f"store-{turn}-{kept}")
                began = time.perf_counter()
                transfer(recipe(table, epochs, kept), folder / f"run-{turn}-{kept}", store=store)
                if turn:
                    found.append(time.perf_counter() - began)
    ratios = [slow / fast for slow, fast in zip(seconds[False], seconds[True], strict=True)]
    print(f"{pictures} pictures, {epochs} epochs, {rounds} rounds, whole runs")
    print(f"kept {median(seconds[True]):.1f} s, anew {median(seconds[False]):.1f} s")
    print(f"ratio {shown(ratios)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    main(**vars(parser.parse_args()))
