"""Where labels go in a chart: widths, line breaks and placement without overlaps.

Vega-Lite places no direct labels, so positions are computed here, in pixels, before a chart is
drawn. Widths are estimates on the wide side: the reader's own fonts set the text.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Box", "log_steps", "place", "spread", "steps", "text_width", "within", "wrap"]


def text_width(text: str, size: float) -> float:
    """The estimated width of a line of text in pixels; a CJK character is as wide as it is high.

    Args:
        text: One line.
        size: The font size in pixels.
    """
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return size * (wide + 0.6 * (len(text) - wide))


def _cut(text: str, limit: float, size: float) -> str:
    while text and text_width(text + "…", size) > limit:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, limit: float, size: float = 12, lines: int = 2) -> list[str]:
    """Break a name into lines that fit; what does not fit is cut with an ellipsis.

    Breaks at spaces and after hyphens where there are any, else between characters.

    Args:
        text: The name.
        limit: The width of a line in pixels.
        size: The font size in pixels. Default: 12.
        lines: The most lines. Default: 2.
    """
    done: list[str] = []
    rest = text.strip()
    while rest and text_width(rest, size) > limit and len(done) < lines - 1:
        end = 1
        while end < len(rest) and text_width(rest[: end + 1], size) <= limit:
            end += 1
        breaks = [i for i in range(1, end + 1) if rest[i - 1] in " -/" or rest[i : i + 1] == " "]
        # A break in the first third would leave a ragged stub: cut inside the word instead.
        at = breaks[-1] if breaks and breaks[-1] > end // 3 else end
        done.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    if rest:
        done.append(rest if text_width(rest, size) <= limit else _cut(rest, limit, size))
    return done or [""]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions as little as possible (least squares) so that they keep a distance.

    Neighbours that are too close are pooled around their mean, as in isotonic regression.

    Args:
        wanted: Where each label would like to be, in any order.
        gap: The least distance between two labels. It shrinks where they cannot all fit.
        low: The least position.
        high: The greatest position.

    Returns:
        The positions in the order of `wanted`; their order along the axis is kept.
    """
    count = len(wanted)
    if count == 0:
        return []
    if count > 1:
        gap = min(gap, (high - low) / (count - 1))
    order = np.argsort(np.asarray(wanted, dtype=float), kind="stable")
    # With the required gaps taken out, the answer is the nearest non-decreasing sequence.
    slack = np.asarray(wanted, dtype=float)[order] - gap * np.arange(count)
    pools: list[list[float]] = []
    for value in slack:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, size = pools.pop()
            before, number = pools[-1]
            pools[-1] = [(before * number + mean * size) / (number + size), number + size]
    level = np.concatenate([np.full(int(size), mean) for mean, size in pools])
    level = np.clip(level, low, high - gap * (count - 1))
    placed = np.empty(count)
    placed[order] = level + gap * np.arange(count)
    return [float(value) for value in placed]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: "Box") -> bool:
        """Whether it lies inside the other."""
        return (
            other.left <= self.left
            and other.top <= self.top
            and self.right <= other.right
            and self.bottom <= other.bottom
        )


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    radius: float = 7,
    obstacles: Sequence[Box] = (),
) -> list[tuple[float, float] | None]:
    """Put a label beside each point where it covers no point and no other label.

    Labels earlier in the list choose first. Tried in turn: right, left, above and below, then the
    corners.

    Args:
        points: x and y of each point, in pixels.
        sizes: Width and height of each label.
        frame: Where labels may be.
        radius: The distance that labels keep from points. Default: 7.
        obstacles: What else must not be covered. Default: nothing.

    Returns:
        The left end and the middle of each label's line, or nothing where it has no room.
    """
    taken = [Box(x - radius + 1, y - radius + 1, x + radius - 1, y + radius - 1) for x, y in points]
    taken.extend(obstacles)
    found: list[tuple[float, float] | None] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        corners = (
            (x + radius, y),
            (x - radius - width, y),
            (x - width / 2, y - radius - height / 2),
            (x - width / 2, y + radius + height / 2),
            (x - radius, y - radius - height / 2),
            (x - width + radius, y - radius - height / 2),
            (x + radius, y - height / 2),
            (x + radius, y + height / 2),
            (x - radius - width, y - height / 2),
            (x - radius - width, y + height / 2),
        )
        for left, middle in corners:
            box = Box(left, middle - height / 2, left + width, middle + height / 2)
            if box.within(frame) and not any(box.meets(other) for other in taken):
                taken.append(box)
                found.append((left, middle))
                break
        else:
            found.append(None)
    return found


def steps(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span a range: 1, 2 or 5 times a power of ten apart.

    Args:
        low: The least value to cover.
        high: The greatest value to cover.
        count: About how many intervals. Default: 5.
    """
    if not high > low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def within(low: float, high: float, count: int = 5) -> tuple[float, float, list[float]]:
    """A range with a little room at both ends, and the round numbers inside it.

    Args:
        low: The least value to cover.
        high: The greatest value to cover.
        count: About how many intervals between the numbers. Default: 5.

    Returns:
        The ends of the range and the numbers.
    """
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * max(size, 1.0):
        room = 0.06 * (high - low)
    else:  # one value, but for rounding
        room = 0.1 * size if size > 1e-6 else 1.0
    low, high = low - room, high + room
    return low, high, [step for step in steps(low, high, count) if low <= step <= high]


def log_steps(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis between two positive ends, few enough to label."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 4 else (1,)
    found = [factor * 10.0**power for power in range(first, last + 1) for factor in every]
    return [step for step in found if low <= step <= high]
