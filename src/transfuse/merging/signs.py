"""TIES' election: of what the models would change, only what agrees with the majority counts."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["Compat", "elected_mean"]

Compat = Literal["mergekit", "peft"]

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
    plain = len(set(weights)) == 1 and compat != "peft"
    scaled = [1.0] * len(deltas) if plain else list(weights)
    total, part = desk.floats("total", count), desk.floats("part", count)
    _vote(deltas, [1.0] * len(deltas) if compat == "peft" else scaled, total, part)
    if compat is not None:
        # Makes a minus zero a plus zero, which counts as plus.
        np.add(total, np.float32(0), out=total)
    agree, moved = desk.flags("agree", count), desk.flags("moved", count)
    sides = desk.bits("sides", count).view(np.int32)
    counted = desk.flags("counted", count).view(np.uint8)
    divisor = desk.floats("divisor", count)
    for place, (delta, weight) in enumerate(zip(deltas, scaled, strict=True)):
        # The first bit of the exclusive or is 0 where the signs are the same.
        np.bitwise_xor(delta.view(np.int32), total.view(np.int32), out=sides)
        np.greater_equal(sides, np.int32(0), out=agree)
        np.not_equal(delta, np.float32(0), out=moved)
        np.logical_and(agree, moved, out=agree)
        np.multiply(delta, agree, out=delta)
        if weight != 1:
            np.multiply(delta, np.float32(weight), out=delta)
        _gather(out, delta, first=not place)
        if plain or compat == "peft":
            _gather(counted, agree.view(np.uint8), first=not place)
        else:
            np.multiply(agree, np.float32(weight), out=part)
            _gather(divisor, part, first=not place)
    if plain or compat == "peft":
        np.copyto(divisor, counted)
    np.maximum(divisor, _LEAST, out=divisor)
    np.divide(out, divisor, out=out)
    if compat is None:
        np.not_equal(total, np.float32(0), out=agree)
        np.multiply(out, agree, out=out)


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
