"""The options of training: `train:` in a recipe."""

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """How long and with what steps; the rates belong to the tuning."""

    epochs: float = 3.0
    """Passes over the first stream's rows. Default: 3."""

    min_steps: int = 0
    """Steps at the least, for very few rows. Default: 0."""

    max_steps: int | None = None
    """Steps at the most. Default: no bound."""

    batch_size: int = 16
    """Rows of a batch at the most, for each stream and process. Default: 16."""

    batch_tokens: int = 4096
    """Padded tokens of a batch at the most. Default: 4096."""

    accumulate: int = 1
    """Batches whose gradients make one step. Default: 1."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """The optimizer (AdamW: Loshchilov and Hutter, 2019, arXiv:1711.05101). Default: adamw."""

    weight_decay: float = 0.01
    """Decoupled decay of matrices; biases and norms do not decay. Default: 0.01."""

    momentum: float = 0.9
    """Momentum of SGD. Default: 0.9."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Way of the rate from its peak to 0, or not at all. Default: linear."""

    warmup: float = 0.1
    """Share of each stage's steps in which the rate rises from 0. Default: 0.1."""

    clip: float = 1.0
    """Greatest norm of the gradient; 0 does not clip. Default: 1."""

    patience: int | None = None
    """Evaluations without a better validation score before training stops; the best weights are
    kept. Default: train to the end and keep the last weights."""

    evaluations: int = 0
    """Evaluations, spread over the run. Default: one an epoch where `patience` is given or `select`
    asks for it, otherwise none before the end."""

    select: Literal["validation", "entropy", "information_maximisation", "iw_risk"] = "validation"
    """What chooses the weights that are kept: with `patience` the validation rows, or a score that
    needs no label of the target: the entropy of the answers, their mutual information with the
    rows, or the source's risk under importance weights. Default: validation."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of forward and backward; weights stay fp32. Default: what the engine probe found
    fastest here."""

    prefix_cache: bool = True
    """Whether the output of frozen layers is computed once and kept. Default: true."""

    penalty: float | None = None
    """L2 penalty of a solved probe, relative to the features' mean square. Default: the one of a
    small grid with the least log-loss on validation rows, or in cross-validation without them."""

    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints. Default: 60."""

    checkpoint_steps: int | None = None
    """Steps between checkpoints, beside the seconds. Default: by seconds alone."""

    tracker: str | None = None
    """Where curves are logged: `tensorboard`, or any tracker that Accelerate knows. Default:
    nowhere."""

    def __post_init__(self) -> None:
        if not 0 < self.epochs < math.inf:
            raise ValueError("epochs is a number above 0")
        if self.min_steps < 0 or (self.max_steps is not None and self.max_steps < 1):
            raise ValueError("min_steps is not negative and max_steps is at least 1")
        for name in ("batch_size", "batch_tokens", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if not 0 <= self.warmup < 1:
            raise ValueError("warmup lies in [0, 1)")
        if self.patience is not None and self.patience < 1:
            raise ValueError("patience is at least 1")
        if self.evaluations < 0:
            raise ValueError("evaluations is 0 or above")
        for name in ("clip", "weight_decay", "penalty"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is 0 or above")
        if not 0 <= self.momentum < 1:
            raise ValueError("momentum lies in [0, 1)")
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise ValueError("checkpoint_steps is at least 1")
        if not self.checkpoint_seconds > 0:
            raise ValueError("checkpoint_seconds is above 0")
        if self.tracker is not None:
            _check_tracker(self.tracker)

    def steps(self, batches_per_epoch: int) -> int:
        """The number of optimizer steps of a run.

        Args:
            batches_per_epoch: Batches of one pass over the first stream.
        """
        steps = max(round(self.epochs * batches_per_epoch / self.accumulate), self.min_steps, 1)
        return steps if self.max_steps is None else min(steps, self.max_steps)


def _check_tracker(name: str) -> None:
    # Importing accelerate takes seconds that recipes without a tracker should not pay.
    from accelerate.utils import LoggerType

    known = sorted(str(kind.value) for kind in LoggerType)
    if name not in known:
        raise ValueError(f"tracker is one of {', '.join(known)}")
