"""What can be done after training, by the name that a recipe calls it."""

from transfuse.answering import Stage
from transfuse.compression import COMPRESSIONS
from transfuse.fusion import ANSWERS, MERGES

__all__ = ["STAGES"]

STAGES: dict[str, type[Stage]] = {**ANSWERS, **MERGES, **COMPRESSIONS}
"""Fusion of answers, fusion of weights, compression."""
