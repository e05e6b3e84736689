"""What each column of a network of several brings: its score with some of them taken away."""

from collections.abc import Mapping, Sequence

import numpy as np

from transfuse.evaluation import holm
from transfuse.study.numbers import Cell, Number, Side
from transfuse.study.runs import Run

__all__ = ["column_numbers"]


def column_numbers(target: Side, cells: Mapping[Cell, Sequence[Run]], primary: str) -> list[Number]:
    """Scores of the same networks on the same test rows, with columns taken away.

    Args:
        target: The test rows.
        cells: The runs of each recipe at each budget.
        primary: The metric.

    Returns:
        Of each recipe that reads several columns, kind `column`: the score with the columns in `x`
        alone, and with none of them; kind `column_gain`: what the column in `x` brings, the score
        of the whole network less that without it, with p-values corrected for all columns.
    """
    numbers: list[Number] = []
    for cell, runs in cells.items():
        shown = set.intersection(*(set(run.ablated) for run in runs))
        columns = [name for name in runs[0].ablated if name in shown and name and "+" not in name]
        if not columns:
            continue
        whole = target.replicates(cell, primary)
        parts = {
            name: target.replicates(
                cell, primary, np.stack([np.float64(run.ablated[name]) for run in runs])
            )
            for name in runs[0].ablated
            if name in shown
        }
        for name, replicates in parts.items():
            found = target.bootstrap.interval(replicates)
            numbers.append(
                Number(
                    "column", *cell, primary, found.value, x=name, low=found.low, high=found.high
                )
            )
        without = {name: "+".join(other for other in columns if other != name) for name in columns}
        gains = {name: target.bootstrap.gain(whole, parts[rest]) for name, rest in without.items()}
        adjusted = holm([gain.p for gain in gains.values()])
        for (name, gain), p_holm in zip(gains.items(), adjusted, strict=True):
            numbers.append(
                Number(
                    "column_gain",
                    *cell,
                    primary,
                    gain.value,
                    x=name,
                    low=gain.low,
                    high=gain.high,
                    p=gain.p,
                    p_holm=float(p_holm),
                )
            )
    return numbers
