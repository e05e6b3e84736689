"""Fewer layers, and what recovery does for a network that was cut."""

import numpy as np
import pytest
import torch

from prune_folders import (
    TASK,
    TEXTS,
    evidence,
    folder_of,
    logits,
    opened,
    plain_logits,
    same,
    saved,
    table,
    told_nothing,
    weights,
)
from tiny_models import CONFIGS
from transfuse.answering import Evidence
from transfuse.compression.prune_layers import PruneLayers, keep_blocks
from transfuse.compression.prune_width import PruneWidth
from transfuse.compression.recovery import Recovery, recover
from transfuse.errors import ModelError
from transfuse.models import keep_layers
from transfuse.tasks import MultiLabel, Regression

OFF = Recovery(epochs=0)
LAYERED = sorted(set(CONFIGS) - {"albert"})
SHORT = Recovery(epochs=20, batch_size=8, learning_rate=1e-3)


def made(stage, folder, rows=None):
    return stage.make([folder], rows or evidence(), 0, told_nothing)


@pytest.mark.parametrize("kind", LAYERED)
def test_two_of_three_layers_open_in_plain_transformers(kind, tiny, tmp_path):
    folder = opened(tiny(kind))
    before = weights(folder.model)
    found = made(PruneLayers(layers=2, recover=OFF), folder)
    kept = found.told["kept"]
    assert len(kept) == 2
    assert saved(found.model, tmp_path / "small") < saved(folder.model, tmp_path / "whole")
    assert torch.equal(plain_logits(tmp_path / "small"), logits(found.model))
    assert same(before, weights(folder.model))
    if kind in ("bert", "gpt2", "qwen3"):
        assert kept == sorted(np.argsort(-np.array(found.told["taylor"]))[:2].tolist())


@pytest.mark.parametrize("take", ["spread", "first", "last"])
def test_layers_by_their_place_are_those_of_a_layer_student(take, tiny):
    folder = opened(tiny("bert"), "native")
    found = made(PruneLayers(layers=2, by=take, recover=OFF), folder)
    student = keep_layers(opened(tiny("bert"), "native").model, 2, take)
    assert torch.equal(logits(found.model), logits(student))


@pytest.mark.parametrize("by", ["taylor", "similarity"])
def test_a_block_that_hands_on_its_input_goes_first(by, tiny):
    folder = opened(tiny("gpt2"))
    block = folder.model.encoder.anatomy.blocks[1]
    for layer in (block.attn.c_proj, block.mlp.c_proj):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    found = made(PruneLayers(layers=2, by=by, recover=OFF), folder)
    assert found.told["kept"] == [0, 2]
    torch.testing.assert_close(logits(found.model), logits(folder.model))


def test_the_first_block_stays_where_the_others_need_it(tiny):
    folder = opened(tiny("t5"))
    with torch.no_grad():
        for name, weight in folder.model.encoder.anatomy.blocks[0].named_parameters():
            if name.endswith(("o.weight", "wo.weight")):
                weight.zero_()
    assert made(PruneLayers(layers=1, recover=OFF), folder).told["kept"] == [0]
    with pytest.raises(ModelError, match="expects other weights"):
        keep_blocks(folder.model, (1, 2))


def test_as_many_layers_as_there_are_is_the_same_network_and_more_are_refused(tiny):
    folder = opened(tiny("bert"))
    assert made(PruneLayers(layers=3), folder).model is folder.model
    assert made(PruneLayers(recover=OFF), folder).told["layers"] == [3, 2]
    with pytest.raises(ModelError, match="3 layers; expected 1 to 3"):
        made(PruneLayers(layers=4), folder)
    with pytest.raises(ModelError, match="AlbertModel: it has no list of layers"):
        made(PruneLayers(), opened(tiny("albert")))


def apart(network, folder):
    """Divergence of a network's answers on the training rows from those of the whole one."""
    texts = evidence().train.texts()
    ours, theirs = (logits(each, texts).log_softmax(-1) for each in (network, folder.model))
    return (theirs.exp() * (theirs - ours)).sum(-1).mean().item()


@pytest.mark.parametrize("stage", [PruneWidth(keep=0.2, recover=OFF), PruneLayers(1, recover=OFF)])
def test_recovery_brings_answers_back_to_the_unpruned_models(stage, tiny):
    folder = opened(tiny("bert"))
    before = weights(folder.model)
    network = made(stage, folder).model
    cut = apart(network, folder)
    heard = []
    only_teacher = Recovery(epochs=20, batch_size=8, learning_rate=1e-3, labels=0.0)
    told = recover(
        network, folder, evidence().train, only_teacher, 0, lambda *said: heard.append(said)
    )
    assert apart(network, folder) < cut / 3
    assert (told["rows"], told["steps"], len(heard)) == (24, 60, 60)
    assert set(told["losses"]) == {"distil", "embed"}
    assert heard[-1] == ("recovering", 60, 60)
    assert same(before, weights(folder.model))
    assert not network.training
    assert all(weight.grad is None for weight in network.parameters())


def test_a_stage_recovers_by_default(tiny):
    folder = opened(tiny("bert"))
    told = made(PruneLayers(layers=1), folder).told
    assert set(told["recovery"]["losses"]) == {"target", "distil", "embed"}
    assert made(PruneLayers(layers=1, recover=OFF), folder).told["recovery"] == {}


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (Regression(mean=0.0, deviation=1.0), [0.1, -1.0, 2.0, 0.5] * 3),
        (MultiLabel(labels=("x", "y")), [["x"], ["y"], ["x", "y"], []] * 3),
    ],
)
def test_what_has_no_classes_recovers_by_labels_and_vectors(task, labels, tiny, tmp_path):
    folder = opened(tiny("bert"), task=task)
    rows = table([*TEXTS] * 3, labels)
    stage = PruneWidth(recover=SHORT)
    found = made(stage, folder, Evidence(rows, rows))
    assert set(found.told["recovery"]["losses"]) == {"target", "embed"}
    saved(found.model, tmp_path)
    torch.testing.assert_close(plain_logits(tmp_path), logits(found.model))


def test_recoverys_options_are_checked():
    wrong = [{"epochs": -1}, {"labels": 1.5}, {"temperature": 0}, {"learning_rate": 0}]
    for options in [*wrong, {"hidden": -1}, {"batch_size": 0}, {"max_steps": 0}]:
        with pytest.raises(ValueError, match=next(iter(options))):
            Recovery(**options)
    assert folder_of(None).task is TASK
