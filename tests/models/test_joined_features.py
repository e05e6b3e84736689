"""What is kept of frozen encoders of several columns: each column's own vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from joined_models import joined, some_records
from transfuse.models import Engine, Feeds, Inference, JoinedRows, LinearHead, Network, read_inputs
from transfuse.models import Store as FeatureStore
from transfuse.models.columns import Gated

Tiny = Callable[..., Path]


def _network(tiny: Tiny, *columns: str) -> Network:
    encoder = joined(tiny, *columns)
    fusion = Gated(width=8).build(encoder.columns, seed=1)
    return Network({"columns": encoder}, {"target": LinearHead(8, 2, seed=1)}, fusion).eval()


def _counted(network: Network, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many values each encoder gets to see from now on, copies included."""
    seen: dict[str, int] = {}
    for name, part in network.encoder.encoders():  # type: ignore[operator]
        kind, plain = type(part), type(part).forward

        def forward(
            self: Any, batch: Any, from_layer: int = 0, name: str = name, plain: Any = plain
        ) -> Any:
            seen[name] = seen.get(name, 0) + len(next(iter(batch.values())))
            return plain(self, batch, from_layer)

        monkeypatch.setattr(kind, "forward", forward)
    return seen


def test_kept_vectors_are_those_of_a_plain_pass(tmp_path: Path, tiny: Tiny) -> None:
    network = _network(tiny)
    inputs = read_inputs(network.encoder, some_records())
    kept = Feeds(network, network.encoder.depth, FeatureStore(tmp_path), Engine())
    with torch.no_grad():
        plain = network.encoder(network.encoder.collate(inputs.tokens)).pooled
    np.testing.assert_allclose(kept.vectors(inputs), plain.numpy(), atol=1e-5)
    inference = Inference(network)
    torch.testing.assert_close(
        inference.logits(kept.feed(inputs), "target"),
        inference.logits(Feeds(network).feed(inputs), "target"),
        atol=1e-5,
        rtol=1e-4,
    )


def test_another_set_of_columns_finds_them_again(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path)
    both = _network(tiny, "text", "image")
    seen = _counted(both, monkeypatch)
    depth = both.encoder.depth
    Feeds(both, depth, store, Engine()).vectors(read_inputs(both.encoder, some_records()))
    # An image encoder tries itself on a few pictures first.
    assert seen["text"] == 3 <= seen["image"]
    for columns in (("text",), ("image", "fields"), ("text", "image", "fields")):
        other = _network(tiny, *columns)
        inputs = read_inputs(other.encoder, some_records())
        seen.clear()
        found = Feeds(other, other.encoder.depth, store, Engine()).vectors(inputs)
        assert not seen
        assert found.shape == (4, other.encoder.dim)


def test_without_a_column_is_as_if_no_row_had_it(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _network(tiny)
    store = FeatureStore(tmp_path)
    feeds = Feeds(network, network.encoder.depth, store, Engine())
    inputs = read_inputs(network.encoder, some_records())
    assert isinstance(inputs.tokens, JoinedRows)
    feeds.vectors(inputs)
    lacking = some_records()
    lacking.parts["image"] = [None] * 4
    expected = Feeds(network).feed(read_inputs(network.encoder, lacking))
    seen = _counted(network, monkeypatch)
    rest = read_inputs(network.encoder, some_records()).tokens
    assert isinstance(rest, JoinedRows)
    given = feeds.feed(type(inputs)(rest.without(["image"]), inputs.keys))
    assert not seen
    inference = Inference(network)
    torch.testing.assert_close(
        inference.logits(given, "target"),
        inference.logits(expected, "target"),
        atol=1e-5,
        rtol=1e-4,
    )
