"""Validation while training: scores on the way, early stopping, the best weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from transfuse.evaluation import METRICS, evaluate
from transfuse.models import Feeds, Inference
from transfuse.training.job import Job

__all__ = ["Selection", "validation_scores"]


@dataclass
class Selection:
    """The best weights so far, for a run with patience.

    Args:
        patience: Evaluations without a better score before training stops.
    """

    patience: int
    best: float | None = None
    stale: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def offer(self, score: float, parameters: Mapping[str, nn.Parameter]) -> None:
        """Keep a copy of the weights if they score better than any before.

        Args:
            score: The score; more is better.
            parameters: All parameters of the network by name.
        """
        if self.best is None or score > self.best:
            self.best, self.stale = score, 0
            self.weights = {name: each.detach().clone() for name, each in parameters.items()}
        else:
            self.stale += 1

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.stale >= self.patience

    def restore(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Put the best weights back into the network."""
        with torch.no_grad():
            for name, value in self.weights.items():
                parameters[name].copy_(value)


def validation_scores(job: Job, feeds: Feeds) -> tuple[dict[str, float], float]:
    """The scores of the validation rows with the weights of now.

    Args:
        job: The job, with validation rows.
        feeds: Feeds that begin after what the stage froze.

    Returns:
        The task's metrics by name, and its primary one turned so that more is better.
    """
    assert job.validation is not None
    assert job.validation.targets is not None
    assert job.validation_task is not None
    task = job.validation_task.task
    inference = Inference(job.network, job.encode_engine)
    logits = inference.logits(feeds.feed(job.validation.inputs), job.validation_task.head)
    scores = evaluate(task.metrics, task.scores(logits).numpy(), job.validation.targets)
    sign = 1.0 if METRICS[task.primary].higher_is_better else -1.0
    return scores, sign * scores[task.primary]
