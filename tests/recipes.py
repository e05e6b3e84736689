"""Small tables and recipes that tests of training share."""

import json
from pathlib import Path
from typing import Any

import numpy as np

GOOD = ["good", "fine", "very good", "this is good", "so fine and good"]
BAD = ["bad", "poor", "very bad", "this is bad", "so poor and bad"]
REST = ["the film", "the book", "a film", "it was a film", "that book", "the film and the book"]


def write_reviews(path: Path, rows: int = 120, seed: int = 0, subject: str = "") -> Path:
    """Labelled sentences that a bag of words can tell apart, in documents of three."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            label = row % 2
            words = (GOOD if label else BAD)[rng.integers(5)]
            text = f"{REST[rng.integers(6)]} {words} {REST[rng.integers(6)]} {subject} {row}"
            line = {"text": text, "label": ["bad", "good"][label], "document": f"d{row // 3}"}
            file.write(json.dumps(line) + "\n")
    return path


def small_recipe(folder: Path, model: Path | str, **more: Any) -> dict[str, Any]:
    """A recipe that a tiny model finishes in a second."""
    target = folder / "target.jsonl"
    source = folder / "source.jsonl"
    if not target.exists():
        write_reviews(target)
        write_reviews(source, seed=1, subject="book")
    recipe: dict[str, Any] = {
        "name": "small",
        "model": {"name": str(model), "pooling": "mean", "max_length": 32},
        "data": {"target": {"path": str(target)}, "source": {"path": str(source)}},
        "split": {"test": 0.3, "validation": 0.1},
        "train": {"epochs": 1, "batch_size": 8, "precision": "fp32"},
    }
    return recipe | more
