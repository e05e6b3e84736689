"""Adapting to each of the FDU review domains without its labels, from the ten others.

Every domain is the target once: its test rows are scored, and the labelled training rows of the ten
others are the source. The target's training rows are seen without labels; weights that are chosen
at all are chosen without them. `source-only` and the target's `oracle` stand beside. The interval
of a mean takes the domains' bootstrap intervals (over test rows and seeds) as independent.

Reads `text/fdu_reviews.parquet` of the benchmark data. Each domain is a study of its own under
`runs/benchmarks/adapt-DOMAIN`; the same command goes on where it stopped.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring import MODEL, data_file, machine, mean_of
from transfuse.study import compare

DOMAINS = (
    "MR",
    "apparel",
    "baby",
    "camera_photo",
    "health_personal_care",
    "imdb",
    "magazines",
    "music",
    "software",
    "sports_outdoors",
    "toys_games",
)
_SOURCE_ONLY = "source-only"
RECIPES: dict[str, dict[str, Any]] = {
    _SOURCE_ONLY: {"learn": "source"},
    "oracle": {"learn": "target"},
    "coral": {"learn": "source", "align": "coral"},
    "linear_ot": {"learn": "source", "align": "linear_ot"},
    "subspace": {"learn": "source", "align": "subspace"},
    "discriminator": {"learn": "source", "align": "discriminator"},
}


def main(rounds: int = 5) -> None:
    """Measure and print.

    Args:
        rounds: Seeds, at most five.
    """
    path = str(data_file("text/fdu_reviews.parquet"))
    parts = [_numbers(_study(path, domain, range(min(rounds, 5)))) for domain in DOMAINS]
    print(machine())
    print(f"{len(DOMAINS)} domains, accuracy on their test rows, {min(rounds, 5)} seeds")
    print(f"{'recipe':<20}{'accuracy':>10}{'gain over source-only':>34}{'better in':>12}")
    for name in RECIPES:
        score = mean_of([part["score", name] for part in parts])
        line = f"{name:<20}{100 * score[0]:>9.2f} "
        if name != _SOURCE_ONLY:
            gains = [part["gain", name] for part in parts]
            value, low, high = (100 * each for each in mean_of(gains))
            better = sum(gain[0] > 0 for gain in gains)
            line += f"{value:>+14.2f} [{low:+.2f}, {high:+.2f}]".rjust(33) + f"{better:>9}/11"
        print(line)


def _study(path: str, domain: str, seeds: Sequence[int]) -> Path:
    others = [other for other in DOMAINS if other != domain]
    recipe = {
        "name": f"adapt-{domain}",
        "model": {"name": MODEL, "max_length": 128},
        "data": {
            "target": {"path": path, "where": {"domain": domain, "split": ["train", "test"]}},
            "source": {"path": path, "where": {"domain": others, "split": "train"}},
        },
        "split": {"by": "column", "validation": 0.0},
        "tune": "frozen",
        "study": {"seeds": list(seeds), "baselines": [_SOURCE_ONLY], "keep": "none"},
        "recipes": RECIPES,
    }
    return compare(recipe, Path("runs") / "benchmarks" / f"adapt-{domain}")


def _numbers(folder: Path) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Accuracy and gain of every recipe."""
    table = pd.read_parquet(folder / "study.parquet")
    table = table[(table.metric == "accuracy") & table.kind.isin(["score", "gain"])]
    return {
        (row.kind, row.recipe): (row.value, row.low, row.high)
        for row in table.itertuples()
        if row.split != "source"
    }


if __name__ == "__main__":
    main()
