"""The arithmetic of this machine for both kinds of work."""

from functools import cached_property
from typing import Literal

import torch

from transfuse.models import Encoder, Engine, probe_engine

__all__ = ["Engines"]


class Engines:
    """The arithmetic of this machine for both kinds of work.

    Default: what is fastest for the threads that this process has, probed at the first use.
    """

    @cached_property
    def encode(self) -> Engine:
        """For frozen layers and for scoring."""
        return probe_engine("encode")

    @cached_property
    def train(self) -> Engine:
        """For training."""
        return probe_engine("train")

    def training(self, precision: Literal["auto", "fp32", "bf16"], encoder: Encoder) -> Engine:
        """The arithmetic of training an encoder under a recipe's `precision`."""
        match precision:
            case "auto":
                return encoder.suited(self.train)
            case "fp32":
                return Engine()
            case "bf16":
                return Engine(dtype=torch.bfloat16, attention="eager", autocast=True)
