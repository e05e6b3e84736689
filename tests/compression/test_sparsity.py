"""Sparsity as an analysis: what is zero, what is lost, and that nothing is gained."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prune_folders import TASK, evidence, folder_of, opened, same, weights
from transfuse.compression.sparsity import NOT_FASTER, sparsity, sparsity_table, two_of_four
from transfuse.errors import ModelError
from transfuse.models import LinearHead, Network


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 13)),
        elements=st.floats(-9, 9, width=32),
    )
)
def test_of_each_four_neighbours_the_two_largest_stay(matrix):
    weight = torch.from_numpy(matrix)
    kept = two_of_four(weight)
    whole = matrix.shape[1] - matrix.shape[1] % 4
    assert kept[:, whole:].all()
    for row, mask in zip(weight[:, :whole], kept[:, :whole], strict=True):
        for four, stays in zip(row.view(-1, 4).abs(), mask.view(-1, 4), strict=True):
            assert stays.sum() == 2
            assert four[stays].min() >= four[~stays].max()


def test_zeros_make_nothing_smaller(tiny):
    folder = opened(tiny("bert"))
    before = weights(folder.model)
    heard = []
    rows = evidence().train
    found = sparsity(folder, rows, (0.25, 0.95), tell=lambda *said: heard.append(said))
    assert [(each.pattern, each.level) for each in found] == [
        ("dense", 0.0),
        ("unstructured", 0.25),
        ("unstructured", 0.95),
        ("2:4", 0.5),
    ]
    assert [each.zeros for each in found] == pytest.approx([0, 0.25, 0.95, 0.5], abs=1e-3)
    assert len({each.bytes for each in found}) == 1
    assert found[0].lost == 0
    for each in found:
        assert each.lost == pytest.approx(found[0].score - each.score)
        assert each.ms_per_text > 0
    assert heard[-1] == ("sparsity", 4, 4)
    assert same(before, weights(folder.model))
    table = json.loads(json.dumps(sparsity_table(found)))
    assert table["label"] == NOT_FASTER
    assert table["rows"][3]["pattern"] == "2:4"


def test_a_model_without_blocks_is_analysed_whole(tiny):
    found = sparsity(opened(tiny("albert")), evidence().train, (0.5,))
    assert found[1].zeros == pytest.approx(0.5, abs=1e-3)


def test_what_cannot_be_analysed_is_refused(tiny):
    folder = opened(tiny("bert"))
    with pytest.raises(ValueError, match="between 0 and 1"):
        sparsity(folder, evidence().train, (1.0,))
    heads = {name: LinearHead(32, 2) for name in ("target", "other")}
    several = Network({"text": folder.model.encoder}, heads)
    with pytest.raises(ModelError, match="2 heads"):
        sparsity(folder_of(several, TASK), evidence().train)
