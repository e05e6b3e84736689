"""Tiny tables, recipes for them, and what a command left."""

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GOOD = ["good", "great", "love", "lovely", "works", "nice", "happy", "fine"]
BAD = ["bad", "awful", "broke", "poor", "hate", "ugly", "sad", "useless"]
PLAIN = ["the", "phone", "case", "battery", "screen", "it", "this", "box", "camera", "today"]


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]
"""`cli("run", "recipe.yaml")`."""


def reviews(rows: int = 80, seed: int = 0) -> list[tuple[str, str]]:
    """Texts that a bag of words tells apart, and their labels in turn."""
    rng = random.Random(seed)
    made = []
    for row in range(rows):
        words = rng.sample(PLAIN, 5) + rng.sample(GOOD if row % 2 else BAD, 2)
        rng.shuffle(words)
        made.append((f"{' '.join(words)} {seed}-{row}", "positive" if row % 2 else "negative"))
    return made


def write_csv(
    path: Path, rows: Sequence[Sequence[Any]], heads: Sequence[str] = ("text", "label")
) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)
    return path


def write_recipe(path: Path, target: Mapping[str, Any] | None = None, **other: Any) -> Path:
    """A recipe that needs no encoder, unless it is given one."""
    told = {"model": "tfidf", "data": {"target": dict(target or {"path": "reviews.csv"})}, **other}
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return path


def final_names(folder: Path) -> list[str]:
    """What stands in an output folder under a name that a person would look for."""
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
