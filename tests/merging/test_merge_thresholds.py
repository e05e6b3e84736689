"""The k-th largest difference, found by guessing, counting and narrowing."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import transfuse.merging.streamed as streamed
import transfuse.merging.thresholds as file
from transfuse.merging.desk import Desk
from transfuse.merging.streamed import Ask, Piece, answers

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)


def found_by(deltas: list[np.ndarray], density: float) -> tuple[tuple[float, ...], int]:
    """What the survey returns, and how often it looked at all there is."""
    desk, passes = Desk(), 0

    def answer(asks: Mapping[int, Ask]) -> Mapping[int, list]:
        nonlocal passes
        passes += 1

        def piece(span) -> Piece:
            base = np.zeros(span.stop - span.start, np.float32)
            return Piece(span, base, np.stack([d[span.start : span.stop] for d in deltas]), desk)

        return {0: [asks[0].look(piece(span)) for span in asks[0].spans]}

    survey = file.thresholds({"w": len(deltas[0])}, density)
    return answers([survey], answer)[0], passes


def wanted(deltas: list[np.ndarray], density: float) -> tuple[float, ...]:
    keep = max(1, int(density * len(deltas[0])))
    return tuple(float(np.sort(np.abs(delta))[-keep]) for delta in deltas)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few thousand numbers are many."""
    monkeypatch.setattr(streamed, "BLOCK", 256)
    for name, value in (
        ("BLOCK", 256),
        ("_HELD", 512),
        ("_MOST_HELD", 1024),
        ("_SAMPLED", 32),
    ):
        monkeypatch.setattr(file, name, value)


@given(delta=arrays(np.float32, st.integers(1, 60), elements=NUMBERS), density=st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_small_tensors(delta, density) -> None:
    assert found_by([delta], density)[0] == wanted([delta], density)


def shapes(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(count).astype(np.float32)
    return {
        "normal": normal,
        # What a sample of runs says of these is far off.
        "sorted": np.sort(normal**5),
        "bands": normal * np.repeat(10.0 ** rng.integers(-6, 6, count // 100 + 1), 100)[:count],
        # Stored differences repeat.
        "few": rng.integers(-3, 4, count) * np.float32(0.25),
        "mostly none": np.where(rng.random(count) < 0.05, normal, np.float32(0)),
        "one": np.full(count, -2, np.float32),
        "none": np.zeros(count, np.float32),
        "huge": np.where(rng.random(count) < 0.3, np.float32(np.inf), normal),
    }


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", shapes(1))
@pytest.mark.parametrize("density", [1e-9, 0.01, 0.2, 0.5, 0.99, 1.0])
def test_large_tensors_whatever_they_hold(kind, density) -> None:
    delta = shapes(30_000)[kind].astype(np.float32)
    found, passes = found_by([delta, -2 * delta], density)
    assert found == wanted([delta, 2 * delta], density)
    # A sample, two guesses, eight rounds at the most, and what is left.
    assert passes <= 12


@pytest.mark.usefixtures("small")
def test_models_may_differ_in_all(monkeypatch) -> None:
    deltas = [delta.astype(np.float32) for delta in shapes(20_000).values()]
    assert found_by(deltas, 0.3)[0] == wanted(deltas, 0.3)


def test_a_usual_tensor_is_looked_at_once() -> None:
    rng = np.random.default_rng(0)
    deltas = [rng.standard_normal(1_500_000).astype(np.float32) for _ in range(2)]
    found, passes = found_by(deltas, 0.2)
    assert found == wanted(deltas, 0.2)
    assert passes == 2
