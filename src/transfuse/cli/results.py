"""A scorecard as tables in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType

from transfuse.cli.show import facts, span, table
from transfuse.evaluation import METRICS, Scorecard

__all__ = ["made_table", "scorecard_table"]

_OTHERS = {
    "ece_scaled": "Expected calibration error, calibrated",
    "source_score": "Score on the source's test rows",
    "selected_step": "Step chosen without labels",
    "oracle_step": "Step that test labels would have chosen",
    "regret": "Regret of that choice",
    "set_coverage": "Sets that hold the true label",
    "set_size": "Labels in a set, mean",
    "interval_width": "Width of the interval",
    "answered": "Rows answered",
    "answered_risk": "Wrong among the answers",
    "risk_coverage_area": "Area under the risk–coverage curve",
}


def scorecard_table(card: Scorecard) -> RenderableType:
    """What was measured on one model.

    Args:
        card: The measurements.
    """
    rows = [(_title(name), _shown(name, value)) for name, value in card.metrics.items()]
    scores = table(("", f"{card.rows:,} test rows"), rows, numbers=1)
    return Group(scores, "", facts(_costs(card))) if card.costs else scores


def made_table(made: Sequence[Mapping[str, Any]]) -> RenderableType | None:
    """A model beside those that it was made of, on the same test rows.

    Args:
        made: What a model folder tells of the stages after training.

    Returns:
        The table; None for a model that was not made of others.
    """
    if not made:
        return None
    told = made[-1]
    rows = [_beside(each["name"], each) for each in told["before"]]
    stages = ", ".join(next(iter(each["stage"])) for each in made[:-1]) or "as it is"
    rows.append(_beside(stages, told["after"]))
    head = ("", "score", "difference, 95 %", "one row, ms", "one of many, ms", "on disk, MB")
    return table(head, rows, numbers=5)


def _beside(name: str, told: Mapping[str, Any]) -> tuple[str, ...]:
    difference = ""
    if "gain" in told:
        # Of the new model, seen from the one in this line.
        difference = f"{told['gain']:+.4f} [{told['low']:+.4f}, {told['high']:+.4f}]"
    unknown = len(told.get("labels_unknown", ()))
    return (
        f"{name} (lacks {unknown} label{'s' * (unknown > 1)})" if unknown else name,
        f"{told['score']:.4f}",
        difference,
        f"{told['latency_ms']:.2f}",
        f"{told['row_ms']:.3f}",
        f"{told['size_mb']:,.1f}",
    )


def _title(name: str) -> str:
    task, _, metric = name.rpartition("/")
    if task:
        return f"{task}: {_title(metric)}"
    return METRICS[name].title if name in METRICS else _OTHERS.get(name, name)


def _shown(name: str, value: float) -> str:
    metric = name.rpartition("/")[2]
    known = METRICS.get("ece" if metric == "ece_scaled" else metric)
    return known.show(value) if known else f"{value:.4g}"


def _costs(card: Scorecard) -> dict[str, str]:
    costs = card.costs
    return {
        "trained": f"{costs.get('trained_parameters', 0):,.0f} of "
        f"{costs.get('total_parameters', 0):,.0f} parameters",
        "time": span(costs.get("seconds", 0.0)),
        "memory": f"{costs.get('peak_memory_mb', 0):,.0f} MB at the most",
        "latency": f"{costs.get('latency_ms', 0):.1f} ms for one row, "
        f"{costs.get('row_ms', 0):.2f} ms for one of many",
        **({"size": f"{costs['size_mb']:,.1f} MB on disk"} if "size_mb" in costs else {}),
    }
