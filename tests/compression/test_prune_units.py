"""Narrower blocks and fewer heads: what is cut, what stays, and what opens the result."""

import numpy as np
import pytest
import torch

from prune_folders import (
    TASK,
    evidence,
    folder_of,
    logits,
    opened,
    plain_logits,
    same,
    saved,
    told_nothing,
    weights,
)
from tiny_models import CONFIGS
from transfuse.answering import ClassicalModel, Tfidf
from transfuse.compression.prune_heads import PruneHeads
from transfuse.compression.prune_units import unit_scores
from transfuse.compression.prune_width import PruneWidth, feed_forward
from transfuse.compression.recovery import Recovery
from transfuse.errors import ModelError, RecipeError
from transfuse.models import LinearHead, Network
from transfuse.recipe import build

OFF = Recovery(epochs=0)
WITH_HEADS = ("llama", "qwen2", "qwen3", "t5")
KINDS = [(kind, "mean") for kind in CONFIGS] + [
    (kind, "native") for kind in ("bert", "modernbert", "gpt2", "qwen3", "distilbert", "roberta")
]


def made(stage, folder, seed=0):
    return stage.make([folder], evidence(), seed, told_nothing)


@pytest.mark.parametrize(("kind", "pooling"), KINDS)
def test_half_the_width_opens_in_plain_transformers(kind, pooling, tiny, tmp_path):
    folder = opened(tiny(kind), pooling)
    before = weights(folder.model)
    found = made(PruneWidth(by="magnitude", recover=OFF), folder)
    assert saved(found.model, tmp_path / "small") < saved(folder.model, tmp_path / "whole")
    assert torch.equal(plain_logits(tmp_path / "small"), logits(found.model))
    old, new = found.told["width"]
    assert new == old // 2 == feed_forward(found.model.encoder.config)[1]
    assert found.told["parameters"][1] == sum(each.numel() for each in found.model.parameters())
    assert same(before, weights(folder.model))
    assert not torch.equal(logits(found.model), logits(folder.model))


@pytest.mark.parametrize("kind", WITH_HEADS)
def test_half_the_heads_open_in_plain_transformers(kind, tiny, tmp_path):
    folder = opened(tiny(kind))
    found = made(PruneHeads(recover=OFF), folder)
    assert found.told["heads"] == [4, 2]
    assert saved(found.model, tmp_path / "small") < saved(folder.model, tmp_path / "whole")
    assert torch.equal(plain_logits(tmp_path / "small"), logits(found.model))


@pytest.mark.parametrize("kind", sorted(set(CONFIGS) - set(WITH_HEADS)))
def test_heads_that_no_config_can_leave_out_are_refused(kind, tiny):
    with pytest.raises(ModelError, match=r"cannot say that there are fewer heads.*Prune width"):
        made(PruneHeads(recover=OFF), opened(tiny(kind)))


def readers(stage, folder):
    """The linear layers that read what a stage cuts, and how many inputs a unit has."""
    units = stage.units(folder.model.encoder)
    for group in units.groups:
        layer = folder.model.encoder.backbone.get_submodule(group.reader)
        axis = next(cut.axis for cut in group.cuts if cut.name == f"{group.reader}.weight")
        yield layer, axis, layer.weight.shape[axis] // units.count


@pytest.mark.parametrize("by", ["taylor", "magnitude"])
@pytest.mark.parametrize(
    ("stage", "kind"),
    [(PruneWidth, kind) for kind in ("bert", "modernbert", "gpt2", "t5", "albert")]
    + [(PruneHeads, kind) for kind in ("qwen3", "llama")],
)
def test_units_that_nobody_reads_go_first_and_nothing_changes(stage, kind, by, tiny):
    folder = opened(tiny(kind))
    method = stage(by=by, recover=OFF)
    units = method.units(folder.model.encoder)
    useless = []
    for number, (layer, axis, size) in enumerate(readers(method, folder)):
        draw = np.random.default_rng(number)
        dead = np.sort(draw.permutation(units.count)[: units.count - units.kept])
        places = (dead[:, None] * size + np.arange(size)).ravel()
        layer.weight.data.index_fill_(axis, torch.from_numpy(places), 0.0)
        useless.append(dead.tolist())
    told = {"rows": 20, "seed": 0, "tell": told_nothing}
    for score, dead in zip(
        unit_scores(folder, units, by, evidence(), **told), useless, strict=True
    ):
        assert score[dead].max() == 0 < np.delete(score, dead).min()
    found = made(method, folder)
    torch.testing.assert_close(logits(found.model), logits(folder.model), atol=1e-5, rtol=1e-5)
    assert found.told["score_kept"] == [1.0] * len(useless)


@pytest.mark.parametrize(("stage", "kind"), [(PruneWidth, "bert"), (PruneHeads, "bert")])
def test_keeping_all_is_the_same_network(stage, kind, tiny):
    folder = opened(tiny(kind))
    assert made(stage(keep=1.0), folder).model is folder.model


def test_the_width_is_a_multiple_and_never_nothing(tiny):
    folder = opened(tiny("bert"))
    widths = [
        made(PruneWidth(keep=keep, multiple=multiple, by="magnitude", recover=OFF), folder).told
        for keep, multiple in ((0.3, 8), (0.3, 1), (0.001, 8), (0.99, 1))
    ]
    assert [told["width"][1] for told in widths] == [16, 14, 8, 48]


def test_what_is_no_network_of_one_task_is_refused(tiny):
    words = ClassicalModel(Tfidf(), {"a": 0}, np.ones(1), np.ones((1, 1)), np.zeros(1))
    with pytest.raises(ModelError, match="it is a ClassicalModel"):
        made(PruneWidth(), folder_of(words))
    network = opened(tiny("bert")).model
    heads = {name: LinearHead(32, 2) for name in ("target", "other")}
    with pytest.raises(ModelError, match="1 encoders and 2 heads"):
        made(PruneWidth(), folder_of(Network({"text": network.encoder}, heads)))


def test_a_seed_gives_the_same_weights_again(tiny):
    stage = PruneWidth(recover=Recovery(max_steps=3))
    first, second, other = (
        weights(made(stage, opened(tiny("bert")), seed).model) for seed in (0, 0, 1)
    )
    assert same(first, second)
    assert not same(first, other)


def test_options_are_checked():
    methods = {"prune_width": PruneWidth, "prune_heads": PruneHeads}
    for wrong in ({"keep": 0}, {"keep": 1.1}, {"multiple": 0}, {"rows": 0}, {"by": "luck"}):
        with pytest.raises(RecipeError):
            build(methods, {"prune_width": wrong}, "then[0]")
    with pytest.raises(RecipeError, match="epoch"):
        build(methods, {"prune_heads": {"recover": {"epoch": 1}}}, "then[0]")
    found = build(methods, {"prune_width": {"recover": {"epochs": 0}}}, "then[0]")
    assert found == PruneWidth(recover=OFF)
    assert TASK.outputs == 2
