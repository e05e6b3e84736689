import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.errors import ModelError
from transfuse.models.pooling import check_pooling, pool


@st.composite
def padded(draw):
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    extra = draw(st.integers(0, 3))
    longest = max(lengths) + extra
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    tokens = torch.randn(len(lengths), longest, 3, generator=generator)
    mask = torch.tensor([[1] * n + [0] * (longest - n) for n in lengths])
    return tokens, mask, lengths


@given(padded(), st.sampled_from(["mean", "cls", "last"]))
def test_a_row_is_pooled_as_if_it_stood_alone(case, pooling):
    tokens, mask, lengths = case
    together = pool(tokens, mask, pooling)
    for row, length in enumerate(lengths):
        alone = pool(tokens[row : row + 1, :length], mask[row : row + 1, :length], pooling)
        torch.testing.assert_close(together[row : row + 1], alone)


def test_each_pooling_is_what_its_name_says():
    tokens = torch.tensor([[[1.0], [2.0], [6.0], [100.0]]])
    mask = torch.tensor([[1, 1, 1, 0]])
    assert pool(tokens, mask, "mean").item() == 3
    assert pool(tokens, mask, "cls").item() == 1
    assert pool(tokens, mask, "last").item() == 6


def test_means_of_16_bit_vectors_are_summed_in_32():
    tokens = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    tokens[0, 0] = 257
    pooled = pool(tokens, torch.ones(1, 1000, dtype=torch.int64), "mean")
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx((256 + 999) / 1000)  # 257 is 256 in bfloat16


def test_a_misspelt_pooling_gets_a_suggestion():
    with pytest.raises(ModelError, match="Did you mean 'mean'"):
        check_pooling("maen")
    with pytest.raises(ValueError, match="native"):
        pool(torch.zeros(1, 1, 1), torch.ones(1, 1), "native")
