"""Choosing among the weights of a run: by validation rows, or without labels of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.data import seed_for
from transfuse.evaluation import (
    LABEL_FREE,
    METRICS,
    density_ratio,
    entropy,
    evaluate,
    importance_weighted_risk,
    information_maximisation,
    regret,
)
from transfuse.models import Feeds, Inference
from transfuse.tasks import Task
from transfuse.training.job import Criterion, Job, StreamData

__all__ = ["Selection", "choice_told", "scores_now"]


@dataclass
class Selection:
    """The best weights so far.

    Args:
        patience: Evaluations without a better score before training stops; None never stops it.
    """

    patience: int | None
    best: float | None = None
    stale: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def offer(self, score: float, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep a copy of the weights if they score better than any before.

        Args:
            score: The score; more is better.
            tensors: All parameters and buffers of the network by name.
        """
        if self.best is None or score > self.best:
            self.best, self.stale = score, 0
            self.weights = {name: each.detach().clone() for name, each in tensors.items()}
        else:
            self.stale += 1

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.stale >= self.patience

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put the best weights back into the network."""
        with torch.no_grad():
            for name, value in self.weights.items():
                tensors[name].copy_(value)


def scores_now(job: Job, feeds: Feeds) -> tuple[dict[str, float], float]:
    """The scores of the weights of now.

    Args:
        job: The job, with a criterion or with validation rows.
        feeds: Feeds that begin after what the stage froze.

    Returns:
        The scores by name, and the one that chooses, turned so that more is better.
    """
    if job.criterion is not None:
        return _label_free(job, job.criterion, feeds)
    if job.validations:
        return _of_tasks(job, feeds)
    assert job.validation is not None
    assert job.validation_task is not None
    task, head = job.validation_task.task, job.validation_task.head
    inference = Inference(job.network, job.encode_engine)
    scores = _measured(inference, feeds, job.validation, head, task, task.metrics)
    return scores, _sign(task) * scores[task.primary]


def _of_tasks(job: Job, feeds: Feeds) -> tuple[dict[str, float], float]:
    """The scores of several tasks by `task/metric`, and the mean of their primary ones."""
    inference = Inference(job.network, job.encode_engine)
    scores: dict[str, float] = {}
    primary = []
    for name, (data, known) in job.validations.items():
        task = known.task
        found = _measured(inference, feeds, data, known.head, task, task.metrics)
        scores |= {f"{name}/{metric}": value for metric, value in found.items()}
        primary.append(_sign(task) * found[task.primary])
    return scores, sum(primary) / len(primary)


def choice_told(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What choosing without labels came to, told with labels when all is done.

    Args:
        history: The evaluations of a run with a criterion.

    Returns:
        The step that was chosen, the step that the labels would have chosen, and how much worse
        the first is by the task's metric; nothing where no oracle looked on.
    """
    seen = [each for each in history if "oracle" in each]
    if not seen:
        return {}
    chosen = max(seen, key=lambda each: each["criterion"])
    best = max(seen, key=lambda each: each["oracle"])
    return {
        "selected_step": chosen["step"],
        "oracle_step": best["step"],
        "regret": regret(chosen["oracle"], [each["oracle"] for each in seen]),
    }


def _label_free(job: Job, criterion: Criterion, feeds: Feeds) -> tuple[dict[str, float], float]:
    task = criterion.task
    inference = Inference(job.network, job.encode_engine)
    feed = feeds.feed(criterion.unlabelled.inputs)
    answers = task.scores(inference.logits(feed, criterion.head)).double().numpy()
    scores = {
        "entropy": entropy(answers),
        "information_maximisation": information_maximisation(answers),
    }
    if criterion.name == "iw_risk":
        scores["iw_risk"] = _weighted_risk(job, criterion, feeds, inference)
    sign = 1.0 if LABEL_FREE[criterion.name].higher_is_better else -1.0
    scores["criterion"] = sign * scores[criterion.name]
    if criterion.oracle is not None:
        found = _measured(inference, feeds, criterion.oracle, criterion.head, task, [task.primary])
        scores["oracle"] = _sign(task) * found[task.primary]
    return scores, scores["criterion"]


def _weighted_risk(job: Job, criterion: Criterion, feeds: Feeds, inference: Inference) -> float:
    assert criterion.source is not None
    assert criterion.source.targets is not None
    source, target = feeds.feed(criterion.source.inputs), feeds.feed(criterion.unlabelled.inputs)
    logits = inference.logits(source, criterion.head)
    losses = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(criterion.source.targets), reduction="none"
    )
    ratio = density_ratio(
        inference.features(source).numpy(),
        inference.features(target).numpy(),
        seed_for(job.seed, "density ratio"),
    )
    return importance_weighted_risk(losses.double().numpy(), ratio)


def _measured(
    inference: Inference,
    feeds: Feeds,
    data: StreamData,
    head: str,
    task: Task,
    metrics: Sequence[str],
) -> dict[str, float]:
    assert data.targets is not None
    scores: NDArray[np.float64] = (
        task.scores(inference.logits(feeds.feed(data.inputs), head)).double().numpy()
    )
    return evaluate(metrics, scores, data.targets)


def _sign(task: Task) -> float:
    return 1.0 if METRICS[task.primary].higher_is_better else -1.0
