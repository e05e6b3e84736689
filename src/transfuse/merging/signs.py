"""TIES' election: of what the models would change, only what agrees with the majority counts."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["MOST", "Compat", "elected_mean"]

Compat = Literal["mergekit", "peft"]

MOST = 255
"""Models that can vote: they are counted in one byte."""

_LEAST = np.float32(1e-30)
"""Stands for a divisor of 0, where what is divided is 0 as well."""


def elected_mean(
    deltas: Sequence[Floats],
    weights: Sequence[float],
    out: Floats,
    desk: Desk,
    compat: Compat | None,
) -> None:
    """The mean of the differences that have the elected sign.

    The sign is that of the weighted sum; the mean is weighted, over the models that agree and do
    not stand at 0. Where the sum is 0 nobody is elected and the answer is 0. mergekit elects plus
    there; PEFT does too, elects without the weights, and divides by the number of models.

    Args:
        deltas: Differences of each model, [n], 0 where trimmed or dropped; they are used up.
        weights: Weight of each model, at least 0.
        out: Where the mean goes, [n].
        desk: Room to work in.
        compat: Whose definition; None for ours.
    """
    count = len(out)
    # Weights that are all alike leave the mean alone.
    by_number = len(set(weights)) == 1 or compat == "peft"
    plain = [1.0] * len(deltas)
    scaled = plain if by_number and compat != "peft" else weights
    total, part = desk.floats("total", count), desk.floats("part", count)
    _vote(deltas, plain if compat == "peft" else scaled, total, part)
    plus, minus = desk.flags("plus", count), desk.flags("minus", count)
    (np.greater if compat is None else np.greater_equal)(total, np.float32(0), out=plus)
    np.less(total, np.float32(0), out=minus)
    up, down = desk.flags("up", count), desk.flags("down", count)
    agree = up.view(np.uint8)
    counted, divisor = desk.flags("counted", count).view(np.uint8), desk.floats("divisor", count)
    for place, (delta, weight) in enumerate(zip(deltas, scaled, strict=True)):
        np.greater(delta, np.float32(0), out=up)
        np.logical_and(up, plus, out=up)
        np.less(delta, np.float32(0), out=down)
        np.logical_and(down, minus, out=down)
        np.logical_or(up, down, out=up)
        share = delta if place else out
        np.multiply(delta, up, out=share)
        if weight != 1:
            np.multiply(share, np.float32(weight), out=share)
        if place:
            np.add(out, share, out=out)
        if by_number:
            _gather(counted, agree, first=not place)
        else:
            np.multiply(agree, np.float32(weight), out=part)
            _gather(divisor, part, first=not place)
    if by_number:
        np.maximum(counted, np.uint8(1), out=counted)
        np.copyto(divisor, counted)
    else:
        np.maximum(divisor, _LEAST, out=divisor)
    np.divide(out, divisor, out=out)


def _vote(deltas: Sequence[Floats], weights: Sequence[float], total: Floats, part: Floats) -> None:
    for place, (delta, weight) in enumerate(zip(deltas, weights, strict=True)):
        if weight != 1:
            np.multiply(delta, np.float32(weight), out=part)
        _gather(total, delta if weight == 1 else part, first=not place)


def _gather(total: NDArray[Any], more: NDArray[Any], *, first: bool) -> None:
    if first:
        np.copyto(total, more)
    else:
        np.add(total, more, out=total)
