"""How a model says that it is not sure: sets of labels, intervals, and 'I don't know'."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.calibration import Calibration
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.folder import ModelFolder
from transfuse.answering.members import confidence_of
from transfuse.errors import ModelError, Problem
from transfuse.evaluation.abstention import fit_abstention, risk_coverage
from transfuse.evaluation.conformal import (
    Conformal,
    ConformalInterval,
    SetMethod,
    fit_conformal,
    fit_interval,
)
from transfuse.tasks import Task

__all__ = ["Doubt", "Doubting"]


@dataclass(frozen=True)
class Doubt:
    """What a model says beyond its best guess.

    Raises:
        ValueError: If a number is not between 0 and 1, or both `abstain_below` and `risk` are
            given.
    """

    sets: float | None = None
    """The share of rows whose set of labels (or interval) holds the true one. Default: no sets."""

    method: SetMethod = "lac"
    """How sets are made: `lac`, `aps` or `raps`; see `fit_conformal`. Default: lac."""

    by_class: bool = False
    """Whether the share holds for the rows of each label on their own. Default: no."""

    abstain_below: float | None = None
    """The confidence below which no answer is given. Default: every row is answered."""

    risk: float | None = None
    """The share of wrong answers that is tolerated; the confidence below which no answer is given
    is chosen so that it holds. Default: every row is answered."""

    certainty: float = 0.95
    """How certain the bound on the risk is. Default: 0.95."""

    calibrate: Path | None = None
    """Labelled rows that the model has not learnt from. Default: the validation rows' answers that
    the model folder keeps."""

    disagreement: bool = False
    """Whether an ensemble says how far its members are apart. Default: no."""

    def __post_init__(self) -> None:
        for name in ("sets", "risk", "certainty"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} lies between 0 and 1, got {value}")
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise ValueError(f"abstain_below lies from 0 to 1, got {self.abstain_below}")
        if self.abstain_below is not None and self.risk is not None:
            raise ValueError("abstain_below and risk both set a threshold; give one of them")

    @property
    def needs_rows(self) -> bool:
        """Whether held-out rows are needed."""
        return self.sets is not None or self.risk is not None


@dataclass(frozen=True)
class Doubting:
    """The fitted rules."""

    sets: Conformal | None = None
    interval: ConformalInterval | None = None
    threshold: float | None = None
    """The least confidence with which an answer is given."""

    notes: tuple[str, ...] = ()
    """What was fitted and what it promises, one sentence each."""

    disagreement: bool = False
    """Whether an ensemble says how far its members are apart."""

    @classmethod
    def fit(cls, doubt: Doubt, model: ModelFolder, rows: Calibration | None) -> "Doubting":
        """Fit what is asked for.

        Args:
            doubt: What is asked for.
            model: The model.
            rows: Its answers to held-out rows; None where there are none.

        Raises:
            ModelError: If rows are needed and missing, or the task has no such thing.
            DataError: If the risk cannot be promised on these rows.
        """
        where, kind = str(model.path), model.task.kind
        threshold = doubt.abstain_below
        if kind == "regression" and (threshold is not None or doubt.risk is not None):
            fix = "Ask for intervals with --sets."
            raise ModelError(Problem(where, "a number has no confidence", "labels", fix))
        if kind == "multilabel" and doubt.sets is not None:
            what = "answers with several labels a row"
            raise ModelError(Problem(where, what, "one label or a number", "Leave --sets out."))
        if doubt.disagreement and not isinstance(model.model, Ensemble):
            fix = "Leave --disagreement out."
            raise ModelError(Problem(where, "is one model", "an ensemble of several", fix))
        if not doubt.needs_rows:
            return cls(threshold=threshold, disagreement=doubt.disagreement)
        if rows is None:
            raise ModelError(
                Problem(
                    where,
                    "keeps no answers to held-out rows",
                    "validation rows in its recipe, or labelled rows that it has not learnt from",
                    "Give a file of such rows with --calibrate FILE.",
                )
            )
        notes: list[str] = []
        sets = interval = None
        if doubt.sets is not None and kind == "regression":
            interval = fit_interval(rows.scores, rows.targets, 1 - doubt.sets)
            notes.append(_told_interval(interval, doubt.sets, len(rows)))
        elif doubt.sets is not None:
            sets = fit_conformal(
                _normed(rows.scores),
                rows.targets,
                1 - doubt.sets,
                doubt.method,
                by_class=doubt.by_class,
            )
            notes += _told_sets(sets, doubt, rows, model.task)
        if doubt.risk is not None:
            sure, wrong = confidence_of(kind, rows.scores), wrong_rows(model.task, rows)
            found = fit_abstention(sure, wrong, doubt.risk, certainty=doubt.certainty)
            threshold = found.threshold
            notes.append(
                f"No answer below a confidence of {threshold:.3g}: with {doubt.certainty:.0%} "
                f"certainty fewer than {doubt.risk:.1%} of the answers are wrong. Of the "
                f"{len(rows):,} held-out rows {found.coverage:.1%} are answered, "
                f"{found.measured:.1%} of these wrongly."
            )
        return cls(sets, interval, threshold, tuple(notes), doubt.disagreement)

    def measure(self, task: Task, rows: Calibration) -> dict[str, float]:
        """How the rules do on labelled rows.

        Args:
            task: What is answered.
            rows: Answers to rows that the rules were not fitted on.

        Returns:
            `set_coverage` and `set_size` (or `interval_width`), `answered` and `answered_risk`,
            and for labels the area under the risk-coverage curve, `risk_coverage_area`.
        """
        found: dict[str, float] = {}
        numbers = np.arange(len(rows))
        if self.sets is not None:
            inside = self.sets.sets(_normed(rows.scores))
            found["set_coverage"] = float(inside[numbers, rows.targets].mean())
            found["set_size"] = float(inside.sum(axis=1).mean())
        if self.interval is not None:
            ends = self.interval.bounds(rows.scores)
            covered = (ends[:, 0] <= rows.targets) & (rows.targets <= ends[:, 1])
            found["set_coverage"] = float(covered.mean())
            found["interval_width"] = 2 * self.interval.radius
        if task.kind == "regression":
            return found
        sure, wrong = confidence_of(task.kind, rows.scores), wrong_rows(task, rows)
        if self.threshold is not None:
            kept = sure >= self.threshold
            found["answered"] = float(kept.mean())
            found["answered_risk"] = float(wrong[kept].mean()) if kept.any() else 0.0
        found["risk_coverage_area"] = risk_coverage(sure, wrong).area
        return found


def wrong_rows(task: Task, rows: Calibration) -> NDArray[np.bool_]:
    """Whether the answer to each row is wrong, [n]; of several labels every one must be right."""
    if task.kind == "classification":
        return np.asarray(rows.scores.argmax(axis=1) != rows.targets)
    return np.asarray(((rows.scores >= 0.5) != (rows.targets > 0.5)).any(axis=1))


def _normed(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities that sum to 1 in double precision, however coarsely they were kept."""
    wide = np.asarray(scores, dtype=np.float64)
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def _told_interval(rule: ConformalInterval, share: float, rows: int) -> str:
    if not np.isfinite(rule.radius):
        return f"{rows} held-out rows promise nothing for {share:.0%}: the intervals are infinite."
    return f"Intervals of ± {rule.radius:.4g} hold {share:.0%} of the true values ({rows:,} rows)."


def _told_sets(rule: Conformal, doubt: Doubt, rows: Calibration, task: Task) -> list[str]:
    size = rule.sets(_normed(rows.scores)).sum(axis=1).mean()
    each = " of each label" if doubt.by_class else ""
    told = [
        f"Sets hold the true label of {doubt.sets:.0%} of the rows{each}; on the {len(rows):,} "
        f"held-out rows they have {size:.2f} labels on average."
    ]
    always = [
        name
        for name, limit in zip(task.label_names, rule.thresholds, strict=True)
        if np.isinf(limit)
    ]
    if always:
        listed = "every label" if len(always) == len(task.label_names) else ", ".join(always)
        told.append(f"Too few held-out rows: {listed} stands in every set.")
    return told
