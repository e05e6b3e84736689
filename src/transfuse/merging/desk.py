"""Buffers that a worker uses again and again: fresh memory is the bottleneck of merging."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Desk"]


class Desk:
    """One worker's buffers, each by its name. What lay there before is still there."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], NDArray[Any]] = {}
        self._shaped: dict[tuple[str, str, tuple[int, ...]], NDArray[Any]] = {}

    def _take(self, name: str, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
        found = self._shaped.get((name, kind, shape))
        if found is None:
            held, count = self._held.get((name, kind)), math.prod(shape)
            if held is None or len(held) < count:
                held = self._held[name, kind] = np.empty(count, kind)
                # Other shapes of it would keep the smaller one alive.
                self._shaped.clear()
            found = self._shaped[name, kind, shape] = held[:count].reshape(shape)
        return found

    def floats(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A float32 buffer, [*shape]."""
        return self._take(name, "f4", shape)

    def wide(self, name: str, *shape: int) -> NDArray[np.float64]:
        """A float64 buffer, [*shape]."""
        return self._take(name, "f8", shape)

    def bits(self, name: str, *shape: int) -> NDArray[np.uint32]:
        """A uint32 buffer, [*shape]."""
        return self._take(name, "u4", shape)

    def words(self, name: str, *shape: int) -> NDArray[np.uint64]:
        """A uint64 buffer, [*shape]."""
        return self._take(name, "u8", shape)

    def flags(self, name: str, *shape: int) -> NDArray[np.bool_]:
        """A buffer of truth values, [*shape]."""
        return self._take(name, "?", shape)

    def raw(self, name: str, kind: np.dtype[Any], *shape: int) -> NDArray[Any]:
        """A buffer of any type, [*shape]."""
        return self._take(name, kind.str, shape)
