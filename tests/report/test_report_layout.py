"""Labels keep their distance, stay near what they name and inside their frame."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfuse.report.layout import (
    Box,
    log_steps,
    place,
    spread,
    steps,
    text_width,
    within,
    wrap,
)

POSITIONS = st.lists(st.floats(0, 300), max_size=12)


@given(POSITIONS)
def test_spread_labels_keep_their_distance_order_and_frame(wanted: list[float]) -> None:
    placed = spread(wanted, 15, 0, 300)
    assert all(-1e-6 <= at <= 300 + 1e-6 for at in placed)
    order = np.argsort(wanted, kind="stable")
    gaps = np.diff(np.asarray(placed)[order]) if wanted else []
    assert all(gap >= 15 - 1e-6 for gap in gaps)


@given(POSITIONS)
def test_labels_with_room_stay_where_they_are(wanted: list[float]) -> None:
    apart = all(b - a >= 15 for a, b in zip(sorted(wanted), sorted(wanted)[1:], strict=False))
    if apart:
        assert spread(wanted, 15, 0, 300) == pytest.approx(wanted)


@given(st.lists(st.floats(100, 200), min_size=2, max_size=6))
def test_spread_moves_as_little_as_possible(wanted: list[float]) -> None:
    """No small shift of any one label that keeps the distances comes nearer."""
    placed = np.asarray(spread(wanted, 15, -1000, 1000))
    cost = np.sum((placed - wanted) ** 2)
    for index in range(len(wanted)):
        for shift in (-0.5, 0.5):
            other = placed.copy()
            other[index] += shift
            if np.all(np.diff(np.sort(other)) >= 15 - 1e-9):
                assert np.sum((other - wanted) ** 2) >= cost - 1e-6


def test_more_labels_than_room_share_it_evenly() -> None:
    placed = spread([50.0] * 31, 15, 0, 300)
    assert np.diff(placed) == pytest.approx([10.0] * 30)


POINTS = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), max_size=15)


@given(POINTS)
def test_placed_labels_cover_no_point_and_no_label(points: list[tuple[float, float]]) -> None:
    frame = Box(0, 0, 400, 300)
    found = place(points, [(60.0, 14.0)] * len(points), frame)
    boxes = [Box(x, y - 7, x + 60, y + 7) for x, y in (at for at in found if at is not None)]
    for index, box in enumerate(boxes):
        assert box.within(frame)
        assert not any(box.meets(other) for other in boxes[index + 1 :])
        for x, y in points:
            assert not box.meets(Box(x - 4, y - 4, x + 4, y + 4))


def test_a_lone_point_always_finds_room() -> None:
    for x, y in ((0, 0), (400, 300), (0, 300), (400, 0), (200, 150)):
        assert place([(x, y)], [(60, 14)], Box(0, 0, 400, 300)) != [None]


@given(st.text(min_size=1), st.floats(40, 200), st.integers(1, 3))
def test_wrapped_lines_fit(text: str, limit: float, lines: int) -> None:
    found = wrap(text, limit, 12, lines)
    assert 1 <= len(found) <= lines
    assert all(text_width(line, 12) <= limit for line in found)


def test_wrapping_breaks_at_words_and_between_chinese_characters() -> None:
    assert wrap("Probe, joint with news", 120) == ["Probe, joint", "with news"]
    assert wrap("short", 120) == ["short"]
    first, second = wrap("源域与目标域联合训练的线性探针", 120)
    assert first + second == "源域与目标域联合训练的线性探针"
    assert wrap("one two three four five six seven", 60)[-1].endswith("…")


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_steps_span_the_range_with_round_numbers(low: float, size: float) -> None:
    found = steps(low, low + size)
    assert found[0] <= low + 1e-6 * size
    assert found[-1] >= low + size * (1 - 1e-6)
    assert 3 <= len(found) <= 12


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_ticks_lie_inside_a_range_that_covers_the_data(low: float, size: float) -> None:
    left, right, ticks = within(low, low + size)
    assert left < low <= low + size < right
    assert ticks
    assert all(left <= tick <= right for tick in ticks)


@given(st.floats(1e-3, 1e3), st.floats(1.5, 1e5))
def test_logarithmic_ticks_are_few(low: float, ratio: float) -> None:
    found = log_steps(low, low * ratio)
    assert len(found) <= 11
    assert all(low <= step <= low * ratio for step in found)
