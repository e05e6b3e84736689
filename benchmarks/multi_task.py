"""Several tasks by one network, beside one network for each.

`tweeteval`: emotion, hate, irony and offensive language in tweets, four label sets of 2,862 to
11,916 training rows. `fdu`: sentiment in eleven domains of reviews, about 1,600 rows each; the
published multi-task mean, over sixteen domains, is 87.3 (CNN, adversarial; see the data's README).
In both the two upper layers move and all below them run once.

Reads `text/tweeteval.parquet` and `text/fdu_reviews.parquet` of the benchmark data. Each is a study
under `runs/benchmarks`; the same command goes on where it stopped.

    python -m benchmarks.multi_task --only fdu --seeds 1 --limit 200    # a quick look
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.domain_adaptation import DOMAINS
from benchmarks.measuring import MODEL, data_file, machine
from transfuse.study import compare

STUDIES: dict[str, dict[str, Any]] = {
    "tweeteval": {
        "file": "text/tweeteval.parquet",
        "column": "task",
        "tasks": ("emotion", "hate", "irony", "offensive"),
        "max_length": 64,
        "epochs": 2,
        "recipes": {"alone": {"alone": True}, "joint": {}},
    },
    "fdu": {
        "file": "text/fdu_reviews.parquet",
        "column": "domain",
        "tasks": DOMAINS,
        "max_length": 128,
        "epochs": 3,
        "recipes": {"alone": {"alone": True}, "joint": {}},
    },
}


def main(rounds: int = 5, limit: int | None = None, only: str | None = None) -> None:
    """Measure and print.

    Args:
        rounds: Seeds, at most five.
        limit: Training rows of each task. Default: all.
        only: One of `STUDIES`. Default: all of them.
    """
    print(machine())
    for name in STUDIES if only is None else (only,):
        seeds = min(rounds, 5)
        folder = _study(name, seeds, limit)
        rows = "all rows" if limit is None else f"{limit} rows of each task"
        print(f"\n## {name}: {rows}, {seeds} seeds\n")
        _show(pd.read_parquet(folder / "study.parquet"), STUDIES[name])


def _study(name: str, seeds: int, limit: int | None) -> Path:
    told = STUDIES[name]
    path = str(data_file(told["file"]))
    parts = ["train", "val", "test"] if name == "tweeteval" else ["train", "test"]
    recipe = {
        "name": f"tasks-{name}",
        "model": {"name": MODEL, "max_length": told["max_length"]},
        "data": {
            "tasks": {
                task: {
                    "path": path,
                    "where": {told["column"]: task, "split": parts},
                }
                for task in told["tasks"]
            }
        },
        # Where no rows are marked for it, a twentieth of the training rows is for validation.
        "split": {"by": "column", "validation": 0.05},
        "tune": {"top": {"layers": 2}},
        # With few rows the epochs alone would leave every network half-trained.
        "train": {"epochs": told["epochs"], "min_steps": 100, "batch_size": 32},
        **({} if limit is None else {"budget": limit}),
        "study": {"seeds": list(range(seeds)), "baselines": ["alone"], "keep": "none"},
        "recipes": told["recipes"],
    }
    place = f"tasks-{name}" if limit is None else f"tasks-{name}-{limit}"
    return compare(recipe, Path("runs") / "benchmarks" / place)


def _show(table: pd.DataFrame, told: dict[str, Any]) -> None:
    columns = ["mean", *told["tasks"]]
    for metric in ("accuracy", "macro_f1"):
        scores = _pivot(table[(table.kind == "score") & (table.metric == metric)])
        scores["mean"] = scores[list(told["tasks"])].mean(axis=1)
        print(f"{metric}, %")
        print((100 * scores.loc[list(told["recipes"]), columns]).round(2).to_string(), "\n")
    print("gain in accuracy over alone, points, 95 % interval")
    gains = table[table.kind == "gain"].set_index(["recipe", "split"])
    for recipe in told["recipes"]:
        for column in columns:
            if (recipe, column) in gains.index:
                row = gains.loc[(recipe, column)]
                print(
                    f"{recipe:<14}{column:<22}{100 * row.value:+7.2f}"
                    f"  [{100 * row.low:+.2f}, {100 * row.high:+.2f}]  p {row.p_holm:.3f}"
                )
    cost = _pivot(table[(table.kind == "cost") & (table.metric == "seconds")], "metric")
    print("\nseconds of training, all tasks")
    print(cost.loc[list(told["recipes"])].round(1).to_string())


def _pivot(rows: pd.DataFrame, columns: str = "split") -> pd.DataFrame:
    return rows.pivot_table("value", index="recipe", columns=columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.multi_task", description=__doc__)
    parser.add_argument("--only", choices=STUDIES, help="default: all of them")
    parser.add_argument("--seeds", type=int, default=3, help="at most five (default: 3)")
    parser.add_argument("--limit", type=int, help="training rows of each task (default: all)")
    chosen = parser.parse_args()
    main(chosen.seeds, chosen.limit, chosen.only)
