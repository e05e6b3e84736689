"""Every metric, as a function of sums over rows.

`METRICS` lists them by name. A metric is two functions: `sums` gives K numbers for each row, and
`value` turns the sums of those numbers into the metric. Confidence intervals follow from the same
two functions by weighing rows (`statistics.py`).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from transfuse.errors import DataError, Problem
from transfuse.evaluation import retrieval, scenes, sums
from transfuse.evaluation.inputs import checked
from transfuse.evaluation.metric import Metric

__all__ = ["METRICS", "Metric", "confusion", "evaluate", "metric_named"]


_CLASSIFICATION = (
    Metric("accuracy", "Accuracy", "classification", sums.correct_sums, sums.mean_value),
    Metric(
        "macro_precision",
        "Macro precision",
        "classification",
        sums.class_sums,
        sums.macro_precision_value,
    ),
    Metric(
        "macro_recall", "Macro recall", "classification", sums.class_sums, sums.macro_recall_value
    ),
    Metric("macro_f1", "Macro F1", "classification", sums.class_sums, sums.macro_f1_value),
    Metric(
        "mcc",
        "Matthews correlation",
        "classification",
        sums.class_sums,
        sums.mcc_value,
        bounds=(-1.0, 1.0),
        format=".3f",
    ),
    Metric(
        "log_loss",
        "Log loss (nats)",
        "classification",
        sums.log_loss_sums,
        sums.mean_value,
        higher_is_better=False,
        bounds=(0.0, inf),
        format=".3f",
    ),
    Metric(
        "brier",
        "Brier score",
        "classification",
        sums.brier_sums,
        sums.mean_value,
        higher_is_better=False,
        bounds=(0.0, 2.0),
        format=".3f",
    ),
    Metric(
        "ece",
        "Expected calibration error",
        "classification",
        sums.ece_sums,
        sums.ece_value,
        higher_is_better=False,
    ),
)

_MULTILABEL = (
    Metric("micro_f1", "Micro F1", "multilabel", sums.label_sums, sums.f1_value),
    Metric(
        "label_macro_f1", "Macro F1 over labels", "multilabel", sums.label_sums, sums.macro_f1_value
    ),
    Metric("subset_accuracy", "All labels right", "multilabel", sums.subset_sums, sums.mean_value),
    Metric(
        "hamming_loss",
        "Share of labels wrong",
        "multilabel",
        sums.hamming_sums,
        sums.mean_value,
        higher_is_better=False,
    ),
)

_REGRESSION = (
    Metric(
        "mse",
        "Mean squared error",
        "regression",
        sums.square_sums,
        sums.mean_value,
        higher_is_better=False,
        bounds=(0.0, inf),
        format=".4g",
    ),
    Metric(
        "rmse",
        "Root mean squared error",
        "regression",
        sums.square_sums,
        sums.root_value,
        higher_is_better=False,
        bounds=(0.0, inf),
        format=".4g",
    ),
    Metric(
        "mae",
        "Mean absolute error",
        "regression",
        sums.error_sums,
        sums.mean_value,
        higher_is_better=False,
        bounds=(0.0, inf),
        format=".4g",
    ),
    Metric(
        "r2",
        "R²",
        "regression",
        sums.r2_sums,
        sums.r2_value,
        bounds=(-inf, 1.0),
        format=".3f",
    ),
    Metric(
        "pearson",
        "Pearson correlation",
        "regression",
        sums.pearson_sums,
        sums.pearson_value,
        bounds=(-1.0, 1.0),
        format=".3f",
    ),
    Metric(
        "spearman",
        "Spearman rank correlation",
        "regression",
        sums.spearman_sums,
        sums.pearson_value,
        bounds=(-1.0, 1.0),
        format=".3f",
    ),
)


def _precision(name: str, title: str, *thresholds: float) -> Metric:
    """Mean average precision at some overlaps."""
    return Metric(
        name,
        title,
        "detection",
        partial(scenes.box_sums, thresholds=thresholds),
        partial(scenes.average_precision_value, thresholds=len(thresholds)),
    )


_DETECTION = (
    _precision("map", "mAP@[.5:.95]", *scenes.THRESHOLDS),
    _precision("map50", "mAP@.5", 0.5),
    _precision("map75", "mAP@.75", 0.75),
)

_SEGMENTATION = (
    Metric("miou", "Mean IoU", "segmentation", scenes.mask_sums, scenes.iou_value),
    Metric("pixel_accuracy", "Pixels right", "segmentation", scenes.mask_sums, scenes.pixel_value),
)


def _one_way(name: str, title: str, column: int) -> tuple[Metric, ...]:
    """Recalls of one way of retrieval, and the rank that half of its queries reach."""
    recalls = (
        Metric(
            f"{name}_r{limit}",
            f"{title} R@{limit}",
            "matching",
            retrieval.recall_sums,
            partial(retrieval.recall_value, column=column + place),
        )
        for place, limit in enumerate(retrieval.AT)
    )
    median = Metric(
        f"{name}_median_rank",
        f"{title} median rank",
        "matching",
        partial(retrieval.rank_sums, by_caption=column == 0),
        retrieval.median_rank_value,
        higher_is_better=False,
        bounds=(1.0, inf),
        format=".0f",
    )
    return (*recalls, median)


_MATCHING = (
    Metric(
        "mean_recall", "Mean recall", "matching", retrieval.recall_sums, retrieval.mean_recall_value
    ),
    *_one_way("text_to_image", "Text → image", 0),
    *_one_way("image_to_text", "Image → text", 4),
)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *_CLASSIFICATION,
        *_MULTILABEL,
        *_REGRESSION,
        *_DETECTION,
        *_SEGMENTATION,
        *_MATCHING,
    )
}
"""Every metric by name.

Macro averages run over the classes that occur in the labels or the predictions; a precision or
recall without a denominator counts as 0. `ece` has 15 bins of equal width over the confidence of
the predicted class. A label of several is predicted from a probability of 0.5 on. Average
precision is over the classes that have boxes, with confidences in 100 bins; IoU over the classes
that occur in the masks or the predictions. `mean_recall` is the mean of the six recalls.
"""


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Args:
        name: One of `METRICS`.

    Raises:
        DataError: If there is none of that name.
    """
    if name not in METRICS:
        raise DataError(Problem("metrics", f"unknown metric {name!r}", ", ".join(METRICS)))
    return METRICS[name]


def evaluate(
    metric_names: Iterable[str], predictions: npt.ArrayLike, labels: npt.ArrayLike
) -> dict[str, float]:
    """Several metrics of one set of predictions.

    Args:
        metric_names: Names from `METRICS`, all of one kind.
        predictions: Probabilities [n, C], or values [n, 1].
        labels: Class numbers [n], 0 or 1 [n, C], or values [n].

    Returns:
        Name to value, in the order of the names.

    Raises:
        DataError: If a name is unknown, or the arrays are not what the metrics need.
    """
    return {name: metric_named(name)(predictions, labels) for name in metric_names}


def confusion(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, classes: int
) -> npt.NDArray[np.int64]:
    """How often each class was taken for each other.

    Args:
        probabilities: [n, C].
        labels: Class numbers [n].
        classes: C.

    Returns:
        Counts [C, C]: true class by row, predicted class by column.

    Raises:
        DataError: If the arrays are not probabilities and labels of that many classes.
    """
    given, true = checked("classification", probabilities, labels)
    if given.shape[1] != classes:
        raise DataError(
            Problem(
                "predictions", f"{given.shape[1]} columns", f"one for each of {classes} classes"
            )
        )
    cells = np.bincount(true * classes + given.argmax(axis=1), minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)
