"""DARE's random choice of what to keep: keyed by seed, tensor, model and place, and by no order.

The generator counts: word w of a stream is SplitMix64's hash of key + (w + 1) * golden ratio, so
that any run of it can be had at once. Steele, Lea and Flood (2014), 'Fast splittable pseudorandom
number generators'. A word decides about four weights; about eight where the density is so many
256ths, and about sixty-four where it is a half. A model has no name and no number here; its part of
the key is what the tensor holds, so that models in another order, in other folders or in other
shards drop the same weights.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["STEPS", "bit_sums", "chosen", "kept_share", "stream_keys"]

STEPS = 1 << 16
"""The density is rounded to a whole number of these."""

_COARSE = 1 << 8

_GOLDEN = 0x9E37_79B9_7F4A_7C15
_ROUNDS = ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB))
_LAST = 31
_MODULUS = 1 << 64


def bit_sums(rows: Floats) -> list[int]:
    """The sums of the bits of weights, which know no order of runs.

    Args:
        rows: Runs, [rows, n].

    Returns:
        One number for each row.
    """
    sums: list[int] = np.add.reduce(rows.view(np.uint32), axis=1, dtype=np.uint64).tolist()
    return sums


def stream_keys(
    seed: int, name: str, sums: Sequence[int], weights: Sequence[float]
) -> tuple[int, ...]:
    """The key of each model's stream for one tensor.

    Args:
        seed: Seed of all randomness.
        name: The tensor's name.
        sums: What each model's tensor holds, as a sum of its bits.
        weights: Weight of each model.

    Returns:
        One number for each model below 2**64. Models that hold the same get different ones.
    """
    keys = [0] * len(sums)
    before: dict[int, int] = {}
    for place in sorted(range(len(sums)), key=lambda model: (sums[model], weights[model])):
        twin = before[sums[place]] = before.get(sums[place], -1) + 1
        text = f"{seed} {sums[place]} {twin} {name}".encode("utf-8", "surrogatepass")
        keys[place] = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
    return tuple(keys)


def kept_share(density: float) -> float:
    """The chance of a weight to be kept: the density, to the nearest 65,536th above 0.

    Args:
        density: The chance that was asked for, above 0 and up to 1.
    """
    return max(1, round(density * STEPS)) / STEPS


def chosen(
    keys: Sequence[int], start: int, count: int, density: float, desk: Desk
) -> NDArray[np.bool_]:
    """Which weights of a run are kept.

    Args:
        keys: The key of each model's stream.
        start: The place of the first weight in its tensor, a multiple of 64.
        count: How many weights there are.
        density: The chance of each to be kept, as `kept_share` rounds it.
        desk: Room to work in; the answer lies there.

    Returns:
        Truth values, [keys, count].
    """
    share = kept_share(density)
    if share == 1:
        kept = desk.flags("chosen", len(keys), count)
        kept.fill(True)
        return kept
    if share == 1 / 2:
        # Kept where the bit is 0, as a number below 1 of 2.
        mixed = _random(keys, start, count, 64, desk)
        bits = np.invert(mixed, out=mixed).astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(bits, axis=1, count=count, bitorder="little").view(np.bool_)
    steps, kind = (_COARSE, "<u1") if (share * _COARSE).is_integer() else (STEPS, "<u2")
    mixed = _random(keys, start, count, 8 // np.dtype(kind).itemsize, desk)
    drawn = mixed.astype("<u8", copy=False).view(kind)
    kept = desk.flags("chosen", *drawn.shape)
    np.less(drawn, drawn.dtype.type(share * steps), out=kept)
    return kept[:, :count]


def _random(
    keys: Sequence[int], start: int, count: int, each: int, desk: Desk
) -> NDArray[np.uint64]:
    """The words that decide about a run, [keys, words], each about so many weights."""
    words = -(-count // each)
    first = [(key + (start // each + 1) * _GOLDEN) % _MODULUS for key in keys]
    mixed = desk.words("random", len(keys), words)
    np.add(_steps(words, desk), np.array(first, np.uint64)[:, None], out=mixed)
    _mix(mixed, desk.words("shifted", len(keys), words))
    return mixed


def _mix(words: NDArray[np.uint64], shifted: NDArray[np.uint64]) -> None:
    for shift, factor in _ROUNDS:
        np.right_shift(words, np.uint64(shift), out=shifted)
        np.bitwise_xor(words, shifted, out=words)
        np.multiply(words, np.uint64(factor), out=words)
    np.right_shift(words, np.uint64(_LAST), out=shifted)
    np.bitwise_xor(words, shifted, out=words)


def _steps(count: int, desk: Desk) -> NDArray[np.uint64]:
    """0, 1, … times the golden ratio, made once: it stays on the desk."""
    steps = desk.words("steps", count)
    last = (count - 1) * _GOLDEN % _MODULUS
    if count and (steps[0] != 0 or steps[-1] != last):
        np.multiply(np.arange(count, dtype=np.uint64), np.uint64(_GOLDEN), out=steps)
    return steps
