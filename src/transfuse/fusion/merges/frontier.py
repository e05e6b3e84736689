"""What accuracy costs: merges, ensembles and single models on one plane."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Frontier", "Point", "frontier"]


@dataclass(frozen=True)
class Point:
    """A model on the plane of score and cost.

    Args:
        name: The model.
        kind: What it is: one model, a merge, or several models at once.
        score: Greater is better.
        cost: Less is better, for instance milliseconds a row.
        low: Lower end of the score's confidence interval. Default: not known.
        high: Its upper end. Default: not known.
    """

    name: str
    kind: Literal["single", "merge", "ensemble"]
    score: float
    cost: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Frontier:
    """Models by cost, and those that no other beats in both.

    Args:
        points: All, by cost and then by score, the better first.
        best: The names of those for which none is as good and cheaper, or as cheap and better.
    """

    points: tuple[Point, ...]
    best: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        rows = [{**asdict(point), "best": point.name in self.best} for point in self.points]
        return {"points": rows}


def frontier(points: Iterable[Point]) -> Frontier:
    """The Pareto front of score against cost.

    Args:
        points: The models. Their order decides nothing; of two with the same score and cost both
            are on the front or neither.

    Raises:
        ValueError: If a score or a cost is not a number, or a name stands twice.
    """
    given = sorted(points, key=lambda point: (point.cost, -point.score, point.name))
    names = [point.name for point in given]
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice in {names}")
    if any(value != value for point in given for value in (point.score, point.cost)):
        raise ValueError("a score or a cost is not a number")
    best = [
        point.name
        for point in given
        if not any(
            other.score >= point.score
            and other.cost <= point.cost
            and (other.score, other.cost) != (point.score, point.cost)
            for other in given
        )
    ]
    return Frontier(tuple(given), tuple(best))
