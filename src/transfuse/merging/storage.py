"""Stored numbers to float32 and back: bfloat16 by shifts, rounded to nearest, ties to even."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.merging.base import Floats
from transfuse.merging.desk import Desk

__all__ = ["FLOATING", "TYPES", "lost_in_bfloat16", "narrow", "to_bfloat16", "widen"]

TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""How numpy holds what safetensors names; bfloat16, which numpy lacks, as its bits."""

FLOATING = ("F64", "F32", "F16", "BF16")
"""The types that can be merged."""

_HALF = np.uint32(0x7FFF)
_SIXTEEN = np.uint32(16)
_ONE = np.uint32(1)
_QUIET_NAN = np.uint16(0x7FC0)


def widen(raw: NDArray[Any], dtype: str, out: Floats) -> None:
    """Stored numbers as float32.

    Args:
        raw: As stored, [..., n], of the numpy type that `TYPES` gives.
        dtype: The stored type, one of `FLOATING`.
        out: Where they go, [..., n].
    """
    if dtype == "BF16":
        bits = out.view(np.uint32)
        np.copyto(bits, raw)
        np.left_shift(bits, _SIXTEEN, out=bits)
    else:
        np.copyto(out, raw, casting="same_kind")


def narrow(
    values: Floats, dtype: str, out: NDArray[Any], desk: Desk, *, finite: bool = False
) -> None:
    """Numbers as they are stored, each the nearest that the type can say, ties to even.

    Args:
        values: What is to be stored, [n].
        dtype: The type to store, one of `FLOATING`.
        out: Where they go, [n], of the numpy type that `TYPES` gives.
        desk: Room to work in.
        finite: Whether all of them are finite, for certain. Default: some may not be.

    Raises:
        FloatingPointError: If a finite number is too large for float16.
    """
    if dtype == "BF16":
        to_bfloat16(values, out, desk, finite=finite)
    else:
        with np.errstate(over="raise"):
            np.copyto(out, values, casting="same_kind")


def to_bfloat16(
    values: Floats, out: NDArray[np.uint16], desk: Desk, *, finite: bool = False
) -> None:
    """The bits of the nearest bfloat16, ties to even; NaN stays NaN.

    Args:
        values: Numbers, [n].
        out: Where the bits go, [n].
        desk: Room to work in.
        finite: Whether there is no NaN, for certain. Default: there may be one.
    """
    bits = values.view(np.uint32)
    moved = desk.bits("rounding", len(values))
    np.right_shift(bits, _SIXTEEN, out=moved)
    np.bitwise_and(moved, _ONE, out=moved)
    np.add(moved, _HALF, out=moved)
    np.add(moved, bits, out=moved)
    np.right_shift(moved, _SIXTEEN, out=moved)
    np.copyto(out, moved, casting="unsafe")
    if not finite:
        # The rounding may have carried a NaN over into an infinity.
        out[np.isnan(values)] = _QUIET_NAN


def lost_in_bfloat16(base: Floats, delta: Floats, desk: Desk) -> float:
    """How much of a difference bfloat16 storage would swallow.

    Args:
        base: Weights, [n].
        delta: What is to be added to them, [n].
        desk: Room to work in.

    Returns:
        Of the weights whose difference is not 0, the share that would be stored as if it were;
        NaN where every difference is 0.
    """
    before, after = np.empty(len(base), np.uint16), np.empty(len(base), np.uint16)
    to_bfloat16(base, before, desk)
    to_bfloat16(base + delta, after, desk)
    moved = delta != 0
    moving = int(np.count_nonzero(moved))
    return float(np.count_nonzero(moved & (before == after))) / moving if moving else math.nan
