"""DARE's random choice of what to keep: keyed by seed, tensor, model and place, and by no order.

The generator counts: word w of a stream is SplitMix64's hash of key + (w + 1) * golden ratio, so
that any run of it can be had at once. Steele, Lea and Flood (2014), 'Fast splittable pseudorandom
number generators'. A model has no name and no number here; its part of the key is what the tensor
holds, so that models in another order, in other folders or in other shards drop the same weights.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["bit_sum", "chosen", "stream_keys"]

_GOLDEN = 0x9E37_79B9_7F4A_7C15
_ROUNDS = ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB))
_LAST = 31
_MODULUS = 1 << 64


def bit_sum(weights: Floats) -> int:
    """The sum of the bits of pairs of weights, modulo 2**64, which knows no order of runs.

    Args:
        weights: A run of weights that begins at an even place, [n].
    """
    even = len(weights) // 2 * 2
    pairs = int(np.add.reduce(weights[:even].view(np.uint64), dtype=np.uint64))
    return int(pairs + sum(weights[even:].view(np.uint32).tolist())) % _MODULUS


def stream_keys(
    seed: int, name: str, sums: Sequence[int], weights: Sequence[float]
) -> tuple[int, ...]:
    """The key of each model's stream for one tensor.

    Args:
        seed: Seed of all randomness.
        name: The tensor's name.
        sums: What each model's tensor holds, as `bit_sum` over all of it.
        weights: Weight of each model.

    Returns:
        One number for each model below 2**64. Models that hold the same get different ones.
    """
    keys = [0] * len(sums)
    before: dict[int, int] = {}
    for place in sorted(range(len(sums)), key=lambda model: (sums[model], weights[model])):
        twin = before[sums[place]] = before.get(sums[place], -1) + 1
        text = f"{seed} {sums[place] % _MODULUS} {twin} {name}".encode("utf-8", "surrogatepass")
        keys[place] = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
    return tuple(keys)


def chosen(key: int, start: int, count: int, density: float, desk: Desk) -> NDArray[np.bool_]:
    """Which weights of a run are kept.

    Args:
        key: The key of the stream.
        start: The place of the first weight in its tensor, an even number.
        count: How many weights there are.
        density: The chance of each to be kept, from 0 to 1, in steps of 2**-32.
        desk: Room to work in; the answer lies there.

    Returns:
        Truth values, [count].
    """
    kept = desk.flags("chosen", count)
    least = round(density * 2**32)
    if least >= 2**32:
        kept.fill(True)
        return kept
    halves = (count + 1) // 2
    words, shifted = desk.words("random", halves), desk.words("shifted", halves)
    first = (key + (start // 2 + 1) * _GOLDEN) % _MODULUS
    np.add(_steps(halves, desk), np.uint64(first), out=words)
    for shift, factor in _ROUNDS:
        np.right_shift(words, np.uint64(shift), out=shifted)
        np.bitwise_xor(words, shifted, out=words)
        np.multiply(words, np.uint64(factor), out=words)
    np.right_shift(words, np.uint64(_LAST), out=shifted)
    np.bitwise_xor(words, shifted, out=words)
    drawn = words.astype("<u8", copy=False).view("<u4")[:count]
    np.less(drawn, np.uint32(least), out=kept)
    return kept


def _steps(count: int, desk: Desk) -> NDArray[np.uint64]:
    """0, 1, … times the golden ratio, made once: it stays on the desk."""
    steps = desk.words("steps", count)
    last = (count - 1) * _GOLDEN % _MODULUS
    if count and (steps[0] != 0 or steps[-1] != last):
        np.multiply(np.arange(count, dtype=np.uint64), np.uint64(_GOLDEN), out=steps)
    return steps
