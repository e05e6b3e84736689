"""What a balancer knows from the steps before: one number of each kind for each loss.

All of it are buffers, so that a checkpoint holds it and no optimizer of the run touches it: there
is no weight decay on them and no schedule.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from transfuse.balancing.base import Vector

__all__ = ["Learnt", "Memory"]

_FORGET_FIRST, _FORGET_SECOND = 0.9, 0.999
# Gradients of weights have no unit, so that this does not depend on the size of the losses.
_SMALL = 1e-8


class Memory(nn.Module):
    """Named rows of numbers, one column for each loss.

    Args:
        names: All losses of the run.
        **starts: What each row is at first.
    """

    def __init__(self, names: Sequence[str], **starts: float) -> None:
        super().__init__()
        self._column = {name: column for column, name in enumerate(names)}
        for row, start in starts.items():
            numbers = torch.full((len(names),), start, dtype=torch.float64)
            self.register_buffer(row, numbers)

    def read(self, row: str, names: Sequence[str]) -> Vector:
        """A copy of a row's numbers for some losses."""
        numbers: Vector = self.get_buffer(row).numpy()[self._columns(names)]
        return numbers

    def write(self, row: str, names: Sequence[str], numbers: Vector) -> None:
        """Put numbers for some losses into a row."""
        self.get_buffer(row).numpy()[self._columns(names)] = numbers

    def _columns(self, names: Sequence[str]) -> list[int]:
        return [self._column[name] for name in names]


class Learnt(Memory):
    """Rows of numbers, and one row named `learnt` that follows a gradient.

    It does so by Adam (Kingma and Ba, 2015, arXiv:1412.6980) at a rate of its own, each number
    with its own count of steps, since a loss may sit out.

    Args:
        names: All losses of the run.
        learnt: What the learnt row is at first.
        **starts: What each other row is at first.
    """

    def __init__(self, names: Sequence[str], learnt: float, **starts: float) -> None:
        super().__init__(names, learnt=learnt, first=0.0, second=0.0, steps=0.0, **starts)

    def descend(self, names: Sequence[str], gradient: Vector, rate: float) -> None:
        """One step down a gradient, for some losses."""
        steps = self.read("steps", names) + 1
        first = self.read("first", names)
        second = self.read("second", names)
        first += (1 - _FORGET_FIRST) * (gradient - first)
        second += (1 - _FORGET_SECOND) * (gradient**2 - second)
        for row, numbers in (("steps", steps), ("first", first), ("second", second)):
            self.write(row, names, numbers)
        mean = first / (1 - _FORGET_FIRST**steps)
        size = np.sqrt(second / (1 - _FORGET_SECOND**steps))
        self.write("learnt", names, self.read("learnt", names) - rate * mean / (size + _SMALL))
