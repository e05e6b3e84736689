"""Measuring: metrics, confidence, calibration, label efficiency, distance between domains.

Read `metrics.py` first: every metric is a function of sums over rows, and `statistics.py` builds
its confidence intervals on exactly that. Nothing here knows how a model was trained.
"""

from transfuse.evaluation.across import mean_replicates
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
from transfuse.evaluation.label_free import (
    LABEL_FREE,
    Criterion,
    density_ratio,
    entropy,
    importance_weighted_risk,
    information_maximisation,
    regret,
)
from transfuse.evaluation.metrics import METRICS, Metric, confusion, evaluate, metric_named
from transfuse.evaluation.scorecard import Scorecard
from transfuse.evaluation.statistics import Bootstrap, Gain, Interval, Replicates, holm

__all__ = [
    "LABEL_FREE",
    "METRICS",
    "Bootstrap",
    "Criterion",
    "Gain",
    "Interval",
    "Metric",
    "Reliability",
    "Replicates",
    "Scorecard",
    "apply_temperature",
    "confusion",
    "coral_distance",
    "density_ratio",
    "domain_distances",
    "entropy",
    "evaluate",
    "expected_calibration_error",
    "fit_temperature",
    "holm",
    "importance_weighted_risk",
    "information_maximisation",
    "labels_needed",
    "mean_replicates",
    "metric_named",
    "mmd",
    "proxy_a_distance",
    "regret",
    "reliability",
]
