"""Scores of parts: what they promise, by finite differences and by planted parts."""

import numpy as np
import pytest
import torch

from prune_folders import TASK, evidence, opened, same, table, weights
from transfuse.compression.prune_width import PruneWidth
from transfuse.compression.saliency import magnitudes, saliency
from transfuse.errors import DataError

ROWS = evidence(12).train


def reader(folder):
    """The first layer that reads neurons, by name."""
    return PruneWidth().units(folder.model.encoder).groups[0].reader


def loss_with(folder, name, rows, gates):
    """The summed loss of some rows with a layer's inputs multiplied by gates."""
    network = folder.model
    layer = network.encoder.backbone.get_submodule(name)
    handle = layer.register_forward_pre_hook(lambda _module, args: (args[0] * gates,))
    batch = network.encoder.collate(network.encoder.preprocess(rows.texts()))
    targets = torch.from_numpy(TASK.encode(rows.labels(), "rows"))
    with torch.no_grad():
        loss = TASK.loss(network(batch).logits["target"].double(), targets) * len(targets)
    handle.remove()
    return loss.item()


@pytest.mark.parametrize("kind", ["bert", "modernbert", "gpt2"])
def test_a_neurons_score_is_the_slope_of_the_loss_along_its_gate(kind, tiny):
    folder = opened(tiny(kind))
    name, one = reader(folder), ROWS.take(np.array([3]))
    width = folder.model.encoder.backbone.get_submodule(name).weight.numel() // 32
    score = saliency(folder.model, "target", TASK, one, {name: width}).units[name]
    step = 1e-2
    for neuron in range(0, width, 9):
        ends = []
        for sign in (1, -1):
            gates = torch.ones(width)
            gates[neuron] += sign * step
            ends.append(loss_with(folder, name, one, gates))
        slope = abs(ends[0] - ends[1]) / (2 * step)
        assert score[neuron] == pytest.approx(slope, rel=1e-2, abs=2e-4)


def test_rows_count_by_themselves_and_never_cancel(tiny):
    folder = opened(tiny("bert"))
    name = reader(folder)
    asked = {name: 48}
    whole = saliency(folder.model, "target", TASK, ROWS, asked)
    alone = [
        saliency(folder.model, "target", TASK, ROWS.take(np.array([row])), asked)
        for row in range(len(ROWS))
    ]
    mean = np.mean([found.units[name] for found in alone], axis=0)
    np.testing.assert_allclose(whole.units[name], mean, rtol=1e-3, atol=1e-7)
    layers = np.mean([found.layers for found in alone], axis=0)
    np.testing.assert_allclose(whole.layers, layers, rtol=1e-3, atol=1e-7)


def test_it_reads_no_more_rows_than_asked_and_changes_nothing(tiny):
    folder = opened(tiny("bert"))
    before = weights(folder.model)
    heard = []
    found = saliency(
        folder.model, "target", TASK, ROWS, {}, rows=5, tell=lambda *said: heard.append(said)
    )
    assert found.rows == 5
    assert heard[-1] == ("scoring", len(heard), len(heard))
    again = saliency(folder.model, "target", TASK, ROWS, {}, rows=5)
    other = saliency(folder.model, "target", TASK, ROWS, {}, rows=5, seed=1)
    assert np.array_equal(found.layers, again.layers)
    assert not np.array_equal(found.layers, other.layers)
    assert same(before, weights(folder.model))
    assert all(weight.grad is None for weight in folder.model.parameters())


def test_a_block_that_hands_on_its_input_counts_for_nothing(tiny):
    folder = opened(tiny("gpt2"))
    block = folder.model.encoder.anatomy.blocks[1]
    for layer in (block.attn.c_proj, block.mlp.c_proj):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    found = saliency(folder.model, "target", TASK, ROWS, {})
    assert found.layers[1] == 0 < np.delete(found.layers, 1).min()
    assert found.similarity[1] == pytest.approx(1, abs=1e-6)
    assert found.similarity.argmax() == 1
    assert np.delete(found.similarity, 1).max() < 1 - 1e-4


def test_magnitude_does_not_change_when_one_speaks_louder_and_the_other_listens_less():
    draw = torch.Generator().manual_seed(0)
    named = {"in.weight": torch.randn(6, 4, generator=draw), "in.bias": torch.randn(6)}
    named |= {"out.weight": torch.randn(4, 6, generator=draw)}
    axes = {"in.weight": 0, "in.bias": 0, "out.weight": 1}
    plain = magnitudes(named, axes, "out", 6, stacked=True)
    louder = {"in.weight": named["in.weight"] * 3, "in.bias": named["in.bias"] * 3}
    louder["out.weight"] = named["out.weight"] / 3
    np.testing.assert_allclose(magnitudes(louder, axes, "out", 6, stacked=True), plain, rtol=1e-6)
    expected = (
        named["out.weight"].norm(dim=0)
        * torch.cat([named["in.weight"], named["in.bias"][:, None]], 1).norm(dim=1)
    ).double()
    np.testing.assert_allclose(plain, expected, rtol=1e-6)


@pytest.mark.parametrize("stacked", [True, False])
def test_magnitude_adds_up_what_belongs_to_a_unit(stacked):
    fused = torch.zeros(6, 1)
    fused[[1, 4] if stacked else [2, 3]] = 2.0
    named = {"in.weight": fused, "out.weight": torch.ones(1, 3)}
    found = magnitudes(named, {"in.weight": 0, "out.weight": 1}, "out", 3, stacked=stacked)
    np.testing.assert_allclose(found, [0, 8**0.5, 0])


def test_a_label_that_is_unknown_is_an_error(tiny):
    with pytest.raises(DataError):
        saliency(opened(tiny("bert")).model, "target", TASK, table(["a"], ["odd"]), {})
