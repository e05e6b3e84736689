"""What a model says of a text, and how a file holds it."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from transfuse.answering.doubt import Doubt, Doubting
from transfuse.answering.members import confidence_of
from transfuse.tasks import Task

__all__ = ["Prediction", "as_columns", "new_columns", "predictions"]

_PROBABILITY = "probability_"
_PLACES = ("detection", "segmentation")


@dataclass(frozen=True)
class Prediction:
    """What a model says of one text.

    Args:
        value: A label, a list of labels, or a number; None where it does not know.
        confidence: Probability that the label is right; of several labels, that of the least
            certain yes or no. None for a number.
        probabilities: Probability of each label; empty for a number.
        labels: The labels of its prediction set; None where none was asked for.
        interval: The ends of its interval, for a number; None where none was asked for.
        disagreement: How far an ensemble's members are apart; None where it was not asked for.
    """

    value: str | list[str] | float | None
    confidence: float | None
    probabilities: dict[str, float]
    labels: tuple[str, ...] | None = None
    interval: tuple[float, float] | None = None
    disagreement: float | None = None


def predictions(task: Task, scores: NDArray[Any], doubting: Doubting) -> list[Prediction]:
    """What scores say in words.

    Args:
        task: What is answered.
        scores: Calibrated probabilities or values, [n, outputs].
        doubting: Rules for sets, intervals and 'I don't know'.
    """
    values: list[Any] = task.decode(scores)
    if task.kind == "matching":
        # How near the two sides of a row are; it has no label to be sure of.
        return [Prediction(value, None, {}) for value in values]
    if task.kind in _PLACES:
        # Boxes have probabilities of their own, and masks one for each place.
        told = [json.dumps(value, ensure_ascii=False) for value in values]
        return [Prediction(value, None, {}) for value in told]
    if task.kind == "regression":
        if doubting.interval is None:
            return [Prediction(value, None, {}) for value in values]
        ends = doubting.interval.bounds(scores).tolist()
        return [
            Prediction(value, None, {}, interval=(low, high))
            for value, (low, high) in zip(values, ends, strict=True)
        ]
    names = task.label_names
    sure = confidence_of(task.kind, scores).tolist()
    threshold = doubting.threshold
    sets: Iterator[tuple[str, ...] | None] = itertools.repeat(None)
    if doubting.sets is not None:
        inside = doubting.sets.sets(scores)
        sets = (tuple(itertools.compress(names, row)) for row in inside.tolist())
    return [
        Prediction(
            value if threshold is None or confidence >= threshold else None,
            confidence,
            dict(zip(names, row.tolist(), strict=True)),
            labels,
        )
        for value, confidence, row, labels in zip(values, sure, scores, sets, strict=False)
    ]


def as_columns(found: Sequence[Prediction], kinds: pa.Schema) -> pa.Table:
    """Predictions as the columns of a file.

    Args:
        found: The predictions.
        kinds: What `new_columns` gave.
    """

    def value(one: Prediction, name: str) -> Any:
        match name:
            case "prediction":
                return one.value
            case "confidence":
                return one.confidence
            case "disagreement":
                return one.disagreement
            case "prediction_set":
                return one.labels
            case "prediction_low" | "prediction_high":
                assert one.interval is not None
                return one.interval[name == "prediction_high"]
            case "abstained":
                return one.value is None
        return one.probabilities[name.removeprefix(_PROBABILITY)]

    columns = [pa.array([value(one, kind.name) for one in found], kind.type) for kind in kinds]
    return pa.Table.from_arrays(columns, schema=kinds)


def new_columns(task: Task, probabilities: bool, doubt: Doubt) -> pa.Schema:
    """The columns that predictions add to a file, and their types.

    Args:
        task: What is answered.
        probabilities: Whether the probability of each label is among them.
        doubt: What else is asked for.
    """
    labels = pa.list_(pa.string())
    if task.kind == "matching":
        return pa.schema([("prediction", pa.float64())])
    if task.kind in _PLACES:
        return pa.schema([("prediction", pa.string())])
    if task.kind == "regression":
        names = ["prediction"]
        if doubt.sets is not None:
            names += ["prediction_low", "prediction_high"]
        if doubt.disagreement:
            names.append("disagreement")
        return pa.schema([(name, pa.float64()) for name in names])
    kinds = [
        ("prediction", labels if task.kind == "multilabel" else pa.string()),
        ("confidence", pa.float64()),
    ]
    if probabilities:
        kinds += [(_PROBABILITY + name, pa.float64()) for name in task.label_names]
    if doubt.sets is not None:
        kinds.append(("prediction_set", labels))
    if doubt.abstain_below is not None or doubt.risk is not None:
        kinds.append(("abstained", pa.bool_()))
    if doubt.disagreement:
        kinds.append(("disagreement", pa.float64()))
    return pa.schema(kinds)
