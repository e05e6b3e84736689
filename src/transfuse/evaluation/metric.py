"""What a metric is: row statistics, and the number that their sums give."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy.typing as npt

from transfuse.evaluation.inputs import Array, Kind, checked

__all__ = ["Metric"]


@dataclass(frozen=True)
class Metric:
    """One number that says how good predictions are.

    Args:
        name: What recipes and tables call it.
        title: What a person reads.
        kind: The predictions it is for: `classification` (probabilities [n, C], labels [n]),
            `multilabel` (probabilities [n, C], 0 or 1 [n, C]), `regression` ([n, 1], [n]),
            `detection` (queries [n, Q, C + 5], boxes [n, M, 5]), `segmentation` (probabilities
            [n, C, P], classes of pixels [n, P]) or `matching` (vectors [n, 2 p], items [n]).
        sums: Checked predictions and labels to row statistics, float64 [n, K].
        value: Sums of rows, float64 [..., K], to the metric, float64 [...].
        higher_is_better: Whether more is better. Default: yes.
        bounds: The least and greatest values it can take. Default: 0 and 1.
        format: Format specification for display. Default: per cent with one digit.
    """

    name: str
    title: str
    kind: Kind
    sums: Callable[[Array, Array], Array]
    value: Callable[[Array], Array]
    higher_is_better: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)
    format: str = ".1%"

    def __call__(self, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> float:
        """The metric of one set of predictions.

        Args:
            predictions: As `kind` says.
            labels: As `kind` says.

        Raises:
            DataError: If they are not what `kind` says, or are empty or not finite.
        """
        return float(self.value(self.rows(predictions, labels).sum(axis=0)))

    def rows(self, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Array:
        """Row statistics of predictions that are checked first, float64 [n, K].

        Args:
            predictions: As `kind` says.
            labels: As `kind` says.

        Raises:
            DataError: If they are not what `kind` says, or are empty or not finite.
        """
        return self.sums(*checked(self.kind, predictions, labels))

    def show(self, value: float) -> str:
        """The value as a person reads it."""
        return format(value, self.format)
