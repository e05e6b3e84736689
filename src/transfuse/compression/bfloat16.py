"""Weights kept in 16 bits: half the size on disk, whatever the processor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.compression.rows import rows_to_choose
from transfuse.compression.sensitivity import score_loss
from transfuse.errors import ModelError, Problem
from transfuse.models import Engine, Feeds, Inference, Network, probe_engine, read_inputs
from transfuse.models.copies import copied_as

__all__ = ["BFloat16"]


@dataclass(frozen=True)
class BFloat16(Stage):
    """The network with its weights in bfloat16: half the size on disk.

    It is still a network of torch, which plain transformers opens. Whether it is faster too is the
    processor's affair: a network answers in the arithmetic that the engine probe finds fastest on
    the machine at hand, which is 16 bits where they help and 32 bits where they do not, whatever
    the weights are kept in.
    """

    tolerance: float = 0.005
    """Greatest loss of the task's main metric on validation rows; more is an error. Default:
    0.005."""

    learns: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ValueError("tolerance is at least 0")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        network = folder.model
        if not isinstance(network, Network):
            raise ModelError(
                Problem(str(folder.path), f"is {type(network).__name__}", "a network of torch")
            )
        table = rows_to_choose(evidence, 2000, seed)
        tell("bfloat16", 0, 2)
        # Not the network's own copy for inference, whose convolutions may have taken norms in.
        rounded = copied_as(network, torch.bfloat16)
        inputs = read_inputs(network.encoder, table.inputs(network.encoder.reads))

        def scores(which: Network, head: str) -> Any:
            # In 32 bits both, so that the weights alone differ.
            plain = which.copied_as(torch.float32)
            logits = Inference(plain, Engine()).logits(Feeds(plain).feed(inputs), head)
            return folder.task.scores(logits).double().numpy()

        before, after = scores(network, folder.head), scores(rounded, folder.head)
        tell("bfloat16", 1, 2)
        labels = folder.task.targets(table)
        score, loss = score_loss(folder.task, after, before, labels)
        if loss > self.tolerance:
            raise ModelError(
                Problem(
                    str(folder.path),
                    f"{loss:.4f} of the validation score is lost with weights in 16 bits",
                    f"at most {self.tolerance:g}",
                )
            )
        engine = probe_engine("encode")
        tell("bfloat16", 2, 2)
        told = {
            "precision": "bfloat16",
            "score": score,
            "loss": loss,
            "greatest_difference": float(np.abs(after - before).max()),
            "arithmetic_here": engine.describe(),
            "faster_here": engine.dtype == torch.bfloat16,
        }
        return Made(rounded, folder.task, told)
