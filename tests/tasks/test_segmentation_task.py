"""Masks to cells of a grid, the loss, and scores back to shares."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from transfuse.errors import DataError
from transfuse.evaluation import METRICS
from transfuse.tasks import Segmentation


def png(mask: NDArray[np.uint8], mode: str = "L") -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(mask)
    if mode == "P":
        image = image.copy()
        image.putpalette(list(range(256)) * 3)
    image.save(file, "PNG")
    return file.getvalue()


def quarters(side: int = 8) -> NDArray[np.uint8]:
    """Four classes, a quarter of the picture each."""
    mask = np.zeros((side, side), np.uint8)
    mask[: side // 2, side // 2 :] = 1
    mask[side // 2 :, : side // 2] = 2
    mask[side // 2 :, side // 2 :] = 3
    return mask


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_become_cells_whatever_their_size(mode: str) -> None:
    masks = [png(quarters(side), mode) for side in (2, 6, 40)]
    task = Segmentation(grid=4).fit(masks, "t")
    assert task.labels == ("class 0", "class 1", "class 2", "class 3")
    found = task.encode(masks, "t")
    assert found.shape == (3, 16)
    assert (found == quarters(4).ravel()).all()


def test_cells_take_the_nearest_pixel_and_never_mix() -> None:
    mask = np.zeros((50, 30), np.uint8)
    mask[:, 15:] = 2
    found = Segmentation(labels=("a", "b", "c"), grid=10).encode([png(mask)], "t").reshape(10, 10)
    assert set(found[:, :5].ravel()) == {0}
    assert set(found[:, 5:].ravel()) == {2}


def test_every_row_with_an_unknown_class_is_told() -> None:
    task = Segmentation(labels=("a", "b"), grid=2)
    good, bad = np.array([[0, 1], [255, 1]], np.uint8), np.full((2, 2), 9, np.uint8)
    with pytest.raises(DataError) as caught:
        task.encode([png(good), png(bad), png(bad)], "street")
    assert [str(each)[:13] for each in caught.value.problems] == ["street, row 2", "street, row 3"]
    assert "class 9" in str(caught.value)
    with pytest.raises(DataError, match="fewer than two classes"):
        Segmentation().fit([png(np.zeros((3, 3), np.uint8))], "t")


def test_without_dice_the_loss_is_torchs_cross_entropy_of_labelled_cells() -> None:
    task = Segmentation(labels=("a", "b", "c"), grid=4, dice=0.0)
    logits = torch.randn(2, task.outputs, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 3, (2, 16), generator=torch.Generator().manual_seed(1)).byte()
    targets[:, :4] = 255
    wanted = functional.cross_entropy(
        logits.reshape(2, 3, 16), targets.long(), ignore_index=255, label_smoothing=0.1
    )
    assert task.loss(logits, targets, smoothing=0.1).item() == pytest.approx(
        wanted.item(), rel=1e-5
    )
    weights = torch.tensor([1.0, 2.0, 0.5])
    one = functional.cross_entropy(
        logits.reshape(2, 3, 16)[:1], targets[:1].long(), weights, ignore_index=255
    )
    told = task.loss(logits, targets, weights=weights, row_weights=torch.tensor([1.0, 0.0]))
    assert told.item() == pytest.approx(one.item(), rel=1e-5)


def test_the_truth_costs_next_to_nothing_and_scores_one() -> None:
    task = Segmentation(grid=8).fit([quarters()], "t")
    targets = task.encode([quarters()], "t")
    logits = 30 * functional.one_hot(torch.from_numpy(targets).long(), 4).transpose(1, 2).float()
    assert task.loss(logits.flatten(1), torch.from_numpy(targets)).item() < 1e-3
    scores = task.scores(logits.flatten(1)).double().numpy()
    assert METRICS["miou"](scores, targets) == 1.0
    assert task.decode(scores) == [
        {"class 0": 0.25, "class 1": 0.25, "class 2": 0.25, "class 3": 0.25}
    ]


def test_a_picture_without_labelled_cells_pulls_at_nothing() -> None:
    task = Segmentation(labels=("a", "b"), grid=2)
    logits = torch.randn(1, task.outputs, requires_grad=True)
    loss = task.loss(logits, torch.full((1, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_balanced_weights_make_classes_count_alike() -> None:
    task = Segmentation(labels=("a", "b", "c"), grid=2, class_weights="balanced")
    weights = task.weights(np.array([[0, 0, 0, 1], [0, 0, 0, 255]], np.uint8))
    assert weights is not None
    assert weights.tolist() == pytest.approx([7 / 18, 7 / 3, 0.0])


def test_a_picture_has_the_classes_that_its_cells_show() -> None:
    task = Segmentation(labels=("a", "b", "c", "d"), grid=4)
    mask = quarters()
    mask[mask == 3] = 255
    assert task.classes(task.encode([mask], "t")) == [frozenset("abc")]
