"""Matching: items of groups and pictures, losses against slow ones, and what must not matter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfuse.data import Table
from transfuse.errors import DataError
from transfuse.tasks import Matching
from transfuse.tasks.contrast import pair_hinge, pair_losses, pair_sigmoid
from transfuse.tasks.matching import item_numbers

SEEDS = st.integers(0, 1000)


def made(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of pictures with captions, some of which share a picture."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(0, max(2, rows - 2), (rows,), generator=generator)
    shown = torch.nn.functional.normalize(torch.randn(rows, 5, generator=generator), dim=1)
    said = torch.nn.functional.normalize(torch.randn(rows, 5, generator=generator), dim=1)
    return shown[items] @ said.T, items


def slow_clip(cosines: torch.Tensor, items: torch.Tensor, scale: float, hardness: float) -> list:
    found = []
    for row in range(len(items)):
        both = 0.0
        for way in (cosines, cosines.T):
            others = [k for k in range(len(items)) if items[k] != items[row]]
            pulls = [math.exp(hardness * float(way[row, k])) for k in others]
            mean = sum(pulls) / max(len(pulls), 1)
            parts = [
                pull / mean * math.exp(scale * float(way[row, k]))
                for pull, k in zip(pulls, others, strict=True)
            ]
            own = math.exp(scale * float(way[row, row]))
            both += -math.log(own / (own + sum(parts)))
        found.append(both / 2)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), SEEDS, st.sampled_from([0.0, 1.0, 4.0]))
def test_the_contrast_is_that_of_a_slow_count(rows: int, seed: int, hardness: float) -> None:
    cosines, items = made(rows, seed)
    found = pair_losses(cosines, items, 7.0, hardness=hardness)
    assert found.tolist() == pytest.approx(slow_clip(cosines, items, 7.0, hardness), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), SEEDS)
def test_sides_and_order_do_not_matter(rows: int, seed: int) -> None:
    cosines, items = made(rows, seed)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    for loss in (
        lambda c, i: pair_losses(c, i, 9.0, smoothing=0.1, hardness=2.0),
        lambda c, i: pair_hinge(c, i, 0.2, hardest=True),
        lambda c, i: pair_hinge(c, i, 0.2, hardest=False),
    ):
        plain = loss(cosines, items)
        assert torch.allclose(plain, loss(cosines.T, items), atol=1e-5)
        moved = loss(cosines[order][:, order], items[order])
        assert torch.allclose(plain[order], moved, atol=1e-5)
    total = pair_sigmoid(cosines, items, 9.0, -5.0).sum()
    assert torch.allclose(total, pair_sigmoid(cosines.T, items, 9.0, -5.0).sum(), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), SEEDS)
def test_another_caption_of_the_same_picture_is_nothing_to_be_told_apart_from(
    rows: int, seed: int
) -> None:
    cosines, items = made(rows, seed)
    twice = cosines[[*range(rows), 0]][:, [*range(rows), 0]]
    again = torch.cat([items, items[:1]])
    own = items == items[0]
    for loss in (
        lambda c, i: pair_losses(c, i, 9.0),
        lambda c, i: pair_hinge(c, i, 0.2, hardest=False),
    ):
        assert torch.allclose(loss(cosines, items)[own], loss(twice, again)[:-1][own], atol=1e-5)
    hardest = pair_hinge(twice, again, 0.2, hardest=True)[:-1]
    assert torch.allclose(hardest, pair_hinge(cosines, items, 0.2, hardest=True), atol=1e-6)


def test_a_batch_of_one_item_teaches_nothing() -> None:
    cosines, items = torch.randn(4, 4), torch.zeros(4, dtype=torch.int64)
    assert pair_losses(cosines, items, 9.0).abs().max() < 1e-6
    assert pair_hinge(cosines, items, 0.2, hardest=True).abs().max() == 0


def test_the_sigmoid_loss_is_that_of_a_slow_count() -> None:
    cosines, items = made(6, 3)
    found = pair_sigmoid(cosines, items, 8.0, -4.0)
    for row in range(6):
        wanted = 0.0
        for other in range(6):
            side = 1 if items[row] == items[other] else -1
            logit = 8.0 * float(cosines[row, other]) - 4.0
            wanted += math.log1p(math.exp(-side * logit))
        assert float(found[row]) == pytest.approx(wanted, abs=1e-4)


def test_the_hardest_hinge_is_no_more_than_that_of_all() -> None:
    cosines, items = made(8, 1)
    hardest = pair_hinge(cosines, items, 0.2, hardest=True)
    assert (hardest <= pair_hinge(cosines, items, 0.2, hardest=False) + 1e-6).all()
    apart = torch.eye(8)
    assert pair_hinge(apart, torch.arange(8), 0.2, hardest=False).max() == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_items_are_what_keys_join(rows: list[tuple[int, int]]) -> None:
    found = item_numbers([a for a, _ in rows], [b for _, b in rows])
    joined = {row: {row} for row in range(len(rows))}
    for _ in rows:
        for one in joined:
            for other in joined:
                if any(
                    rows[a][0] == rows[b][0] or rows[a][1] == rows[b][1]
                    for a in joined[one]
                    for b in joined[other]
                ):
                    joined[one] = joined[one] | joined[other]
    for one in range(len(rows)):
        for other in range(len(rows)):
            assert (found[one] == found[other]) == (other in joined[one])
    assert list(dict.fromkeys(found.tolist())) == list(range(found.max() + 1))


def test_a_missing_key_joins_nothing() -> None:
    assert item_numbers([None, None, "a", "a"]).tolist() == [0, 1, 2, 2]


def test_decoding_gives_the_cosine_of_the_row() -> None:
    scores = np.array([[1.0, 0.0, 0.6, 0.8], [0.0, 1.0, 0.0, 1.0]])
    assert Matching().decode(scores) == pytest.approx([0.6, 1.0])


def test_one_item_alone_is_refused() -> None:
    with pytest.raises(DataError, match="two items"):
        Matching().fit([3, 3], "pairs")


def test_a_table_of_texts_alone_is_refused() -> None:
    table = Table.from_dict({"text": ["a dog", "a cat"]}, roles={"text": "text"})
    assert not Matching().answered(table)
    with pytest.raises(DataError, match="captions and what they belong to"):
        Matching().values(table)
