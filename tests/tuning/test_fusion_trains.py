"""Whatever moves in the encoder, what stands between encoder and heads moves with the heads."""

import pytest

from transfuse.models import FUSIONS, LinearHead, Network, load_encoder
from transfuse.recipe import build
from transfuse.tuning import TUNINGS
from transfuse.tuning.base import head_solvable

_OPTIONS = {"vera": {"rank": 4}, "peft": {"method": "lora"}}


def network_of(tiny, fusion):
    encoder = load_encoder(tiny("bert"), pooling="mean")
    module = None if fusion is None else FUSIONS[fusion]().build(encoder.dim, ("a", "b"), 0)
    heads = {"a": LinearHead(encoder.dim, 2), "b": LinearHead(encoder.dim, 3)}
    return Network({"text": encoder}, heads, module)


@pytest.mark.parametrize("name", TUNINGS)
def test_every_tuning_trains_the_fusion_with_the_heads(name, tiny):
    network = network_of(tiny, "ple")
    tuning = build(TUNINGS, {name: _OPTIONS.get(name)}, "tune")
    tuning.prepare(network, 1)
    for stage in tuning.stages(network):
        outside = {key for key, _ in network.named_parameters() if not key.startswith("encoders")}
        assert any(key.startswith("fusion") for key in outside)
        (group,) = [group for group in stage.groups if group.names & outside]
        assert outside <= group.names
        assert not stage.solve, "the losses are not convex in a fusion"


@pytest.mark.parametrize("name", ["frozen", "lp_ft", "gradual"])
def test_heads_alone_may_still_be_solved(name, tiny):
    network = network_of(tiny, None)
    assert head_solvable(network)
    assert build(TUNINGS, name, "tune").stages(network)[0].solve
