"""Measuring: metrics, confidence, calibration, label efficiency, distance between domains.

Read `metrics.py` first: every metric is a function of sums over rows, and `statistics.py` builds
its confidence intervals on exactly that. Nothing here knows how a model was trained.
"""

from transfuse.evaluation.calibration import (
    Reliability,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from transfuse.evaluation.distance import (
    coral_distance,
    domain_distances,
    mmd,
    proxy_a_distance,
)
from transfuse.evaluation.efficiency import labels_needed
from transfuse.evaluation.metrics import METRICS, Metric, confusion, evaluate, metric_named
from transfuse.evaluation.scorecard import Scorecard
from transfuse.evaluation.statistics import Bootstrap, Gain, Interval, Replicates, holm

__all__ = [
    "METRICS",
    "Bootstrap",
    "Gain",
    "Interval",
    "Metric",
    "Reliability",
    "Replicates",
    "Scorecard",
    "apply_temperature",
    "confusion",
    "coral_distance",
    "domain_distances",
    "evaluate",
    "expected_calibration_error",
    "fit_temperature",
    "holm",
    "labels_needed",
    "metric_named",
    "mmd",
    "proxy_a_distance",
    "reliability",
]
