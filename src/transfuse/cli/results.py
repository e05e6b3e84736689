"""A scorecard as tables in a terminal."""

from rich.console import Group, RenderableType

from transfuse.cli.show import facts, span, table
from transfuse.evaluation import METRICS, Scorecard

__all__ = ["scorecard_table"]

_OTHERS = {
    "ece_scaled": "Expected calibration error, calibrated",
    "source_score": "Score on the source's test rows",
    "selected_step": "Step chosen without labels",
    "oracle_step": "Step that test labels would have chosen",
    "regret": "Regret of that choice",
}


def scorecard_table(card: Scorecard) -> RenderableType:
    """What was measured on one model.

    Args:
        card: The measurements.
    """
    rows = [(_title(name), _shown(name, value)) for name, value in card.metrics.items()]
    scores = table(("", f"{card.rows:,} test rows"), rows, numbers=1)
    return Group(scores, "", facts(_costs(card))) if card.costs else scores


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
        "latency": f"{costs.get('latency_ms', 0):.1f} ms for one text",
    }
