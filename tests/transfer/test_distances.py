"""Distances between tables on the features of a model."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from transfuse.data import Role, Table
from transfuse.transfer import distances
from transfuse.transfer.distances import table_distances


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder whose features are the numbers that stand in a text."""

    def encode(
        model: object, texts: Sequence[str], engine: object, *, progress: object
    ) -> np.ndarray:
        return np.array([[float(number) for number in text.split()] for text in texts])

    text = SimpleNamespace(reads=(Role.TEXT,))
    monkeypatch.setattr(distances, "load_encoder", lambda name: text)
    monkeypatch.setattr(distances, "encode", encode)


def table(rows: int, shift: float, seed: int, name: str) -> Table:
    values = np.random.default_rng(seed).normal(size=(rows, 3)) + shift
    texts = [" ".join(f"{number:.3f}" for number in row) for row in values]
    return Table.from_dict({"text": texts}, name=name, roles={"text": "text"})


def test_distances_grow_with_the_shift_and_name_the_source() -> None:
    source = table(300, 0.0, 0, "news")
    near = table_distances(source, table(300, 0.0, 1, "products"), "model")
    far = table_distances(source, table(300, 3.0, 1, "products"), "model")
    assert [one.measure for one in near] == ["proxy A-distance", "MMD²", "CORAL"]
    assert {one.other for one in near} == {"news"}
    assert near[0].value < 0.4
    assert far[0].value > 1.8
    assert abs(near[1].value) < 0.05 < far[1].value


def test_at_most_2000_rows_are_drawn_the_same_way_each_time() -> None:
    large, small = table(2500, 0.0, 0, "a"), table(200, 0.5, 1, "b")
    first = table_distances(large, small, "model", seed=1)
    assert first == table_distances(large, small, "model", seed=1)
    assert first != table_distances(large, small, "model", seed=2)
    assert len(distances._drawn(large, 0, "source")) == 2000
    assert distances._drawn(small, 0, "source") is small
