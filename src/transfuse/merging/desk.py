"""Buffers that a worker uses again and again: fresh memory is the bottleneck of merging."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Desk"]


class Desk:
    """One worker's buffers, each by its name. What lay there before is still there."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], NDArray[Any]] = {}

    def _take(self, name: str, kind: str, count: int) -> NDArray[Any]:
        held = self._held.get((name, kind))
        if held is None or len(held) < count:
            held = self._held[name, kind] = np.empty(count, kind)
        return held[:count]

    def floats(self, name: str, count: int) -> NDArray[np.float32]:
        """A float32 buffer, [count]."""
        return self._take(name, "f4", count)

    def wide(self, name: str, count: int) -> NDArray[np.float64]:
        """A float64 buffer, [count]."""
        return self._take(name, "f8", count)

    def bits(self, name: str, count: int) -> NDArray[np.uint32]:
        """A uint32 buffer, [count]."""
        return self._take(name, "u4", count)

    def words(self, name: str, count: int) -> NDArray[np.uint64]:
        """A uint64 buffer, [count]."""
        return self._take(name, "u8", count)

    def flags(self, name: str, count: int) -> NDArray[np.bool_]:
        """A buffer of truth values, [count]."""
        return self._take(name, "?", count)

    def raw(self, name: str, kind: np.dtype[Any], count: int) -> NDArray[Any]:
        """A buffer of any type, [count]."""
        return self._take(name, kind.str, count)
