"""Which tensor of one folder is which of another: prefixes, ties, and buffers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from transfuse.merging.weights import Reader, Stored

__all__ = ["base_names", "is_statistic", "same_bytes", "ties", "trunk_of"]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BEGINNING = 4096
_AT_ONCE = 1 << 20


def is_statistic(name: str) -> bool:
    """Whether a tensor is what a BatchNorm layer counted, which no arithmetic may touch.

    Args:
        name: The tensor's name.
    """
    return name.rsplit(".", 1)[-1] in _STATISTICS


def trunk_of(tensors: Mapping[str, Stored]) -> str:
    """What the names of most parameters begin with, up to and with the first dot.

    Args:
        tensors: Tensors by name.
    """
    held: Counter[str] = Counter()
    for name, stored in tensors.items():
        first, dot, _ = name.partition(".")
        held[first + dot] += stored.size
    return held.most_common(1)[0][0] if held else ""


def base_names(models: Mapping[str, Stored], base: Mapping[str, Stored]) -> dict[str, str]:
    """The name that each tensor of a model has in the base.

    An encoder by itself names its weights without the prefix that they have within a classifier.

    Args:
        models: A model's tensors.
        base: The base's tensors.

    Returns:
        Name in the model to name in the base, for those that the base has in the same shape.
    """
    trunk = trunk_of(models)
    best: dict[str, str] = {}
    for other in (trunk, "", *sorted({name.partition(".")[0] + "." for name in base})):
        found = {}
        for name, stored in models.items():
            theirs = other + name.removeprefix(trunk) if name.startswith(trunk) else name
            if theirs in base and base[theirs].shape == stored.shape:
                found[name] = theirs
        if len(found) > len(best):
            best = found
    return best


def ties(tensors: Mapping[str, Stored]) -> dict[str, str]:
    """Matrices that are stored twice, as tied weights may be.

    Args:
        tensors: Tensors by name.

    Returns:
        For each matrix whose bytes are those of an earlier one, the name of that one.
    """
    alike: dict[tuple[str, tuple[int, ...], bytes], list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    with Reader() as reader:
        for name, stored in sorted(tensors.items()):
            if len(stored.shape) < 2 or not stored.floating or not stored.size:
                continue
            begin = np.empty(min(stored.bytes, _BEGINNING), np.uint8)
            reader.raw(stored, 0, begin)
            twins = alike[stored.dtype, stored.shape, begin.tobytes()]
            for twin in twins:
                if same_bytes((tensors[twin], stored), reader):
                    found[name] = twin
                    break
            else:
                twins.append(name)
    return found


def same_bytes(tensors: Iterable[Stored], reader: Reader) -> bool:
    """Whether tensors are stored alike.

    Args:
        tensors: Two or more tensors.
        reader: What reads them.
    """
    first, *others = tensors
    held, compared = np.empty(_AT_ONCE, np.uint8), np.empty(_AT_ONCE, np.uint8)
    for other in others:
        if (other.dtype, other.shape) != (first.dtype, first.shape):
            return False
        for start in range(0, first.bytes, _AT_ONCE):
            count = min(_AT_ONCE, first.bytes - start)
            reader.raw(first, start, held[:count])
            reader.raw(other, start, compared[:count])
            if not np.array_equal(held[:count], compared[:count]):
                return False
    return True
