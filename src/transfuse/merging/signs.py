"""TIES' election: of what the models would change, only what agrees with the majority counts."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk
from transfuse.merging.linear import add_rows

__all__ = ["MOST", "Compat", "elected_mean"]

Compat = Literal["mergekit", "peft"]

MOST = 255
"""Models that can vote: they are counted in one byte."""

_LEAST = np.float32(1e-30)
"""Stands for a divisor of 0, where what is divided is 0 as well."""


def elected_mean(
    deltas: Floats, weights: Sequence[float], out: Floats, desk: Desk, compat: Compat | None
) -> None:
    """The mean of the differences that have the elected sign.

    The sign is that of the weighted sum; the mean is weighted, over the models that agree and do
    not stand at 0. Where the sum is 0 nobody is elected and the answer is 0. mergekit elects plus
    there; PEFT does too, elects without the weights, and divides by the number of models.

    Args:
        deltas: Differences, [models, n], 0 where trimmed or dropped; they are used up.
        weights: Weight of each model, at least 0.
        out: Where the mean goes, [n].
        desk: Room to work in.
        compat: Whose definition; None for ours.
    """
    count = len(out)
    # Weights that are all alike leave the mean alone.
    alike = len(set(weights)) == 1
    column = np.array(weights, np.float32)[:, None]
    sign, part = desk.floats("sign", count), desk.floats("part", *deltas.shape)
    if alike or compat == "peft":
        add_rows(deltas, out)
    else:
        add_rows(np.multiply(deltas, column, out=part), out)
    _elect(out, sign, desk, compat)
    # Turned by the elected sign, what agrees is above 0.
    np.multiply(deltas, sign, out=deltas)
    nothing = desk.floats("nothing", count)
    nothing.fill(0)
    agree = np.greater(deltas, nothing, out=desk.flags("agree", *deltas.shape)).view(np.uint8)
    divisor = desk.floats("divisor", count)
    if alike or compat == "peft":
        counted = desk.flags("counted", count).view(np.uint8)
        np.add.reduce(agree, axis=0, dtype=np.uint8, out=counted)
        np.maximum(counted, np.uint8(1), out=counted)
        np.copyto(divisor, counted)
    else:
        add_rows(np.multiply(agree, column, out=part), divisor)
        np.maximum(divisor, _LEAST, out=divisor)
    np.maximum(deltas, nothing, out=deltas)
    if not alike or (compat == "peft" and weights[0] != 1):
        np.multiply(deltas, column, out=deltas)
    add_rows(deltas, out)
    np.divide(out, divisor, out=out)
    np.multiply(out, sign, out=out)


def _elect(total: Floats, sign: Floats, desk: Desk, compat: Compat | None) -> None:
    """1 where plus is elected, -1 where minus is, 0 where nobody is."""
    count = len(total)
    plus, minus = desk.flags("plus", count), desk.flags("minus", count)
    (np.greater if compat is None else np.greater_equal)(total, np.float32(0), out=plus)
    np.less(total, np.float32(0), out=minus)
    signs = plus.view(np.int8)
    np.subtract(signs, minus.view(np.int8), out=signs)
    np.copyto(sign, signs)
