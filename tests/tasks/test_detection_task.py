"""Boxes to targets, the matching, DETR's loss, and scores back to boxes."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transfuse.data import Split, Table
from transfuse.errors import DataError
from transfuse.evaluation import METRICS
from transfuse.recipe import build, spec_of
from transfuse.tasks import TASKS, Detection
from transfuse.tasks.scenes import assigned, generalised_iou, match_costs
from transfuse.transfer.domains import Domain, Prepared


def box(label: Any, x: float, y: float, w: float, h: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, "w": w, "h": h, **more}


ROWS = [
    [box("dog", 0.1, 0.1, 0.2, 0.4), box("cat", 0.5, 0.5, 0.5, 0.25)],
    [],
    [box("cat", 0, 0, 1, 1, crowd=True), box("cat", 0.25, 0.25, 0.5, 0.5)],
]


def test_boxes_become_numbers() -> None:
    task = Detection().fit(ROWS, "t")
    assert task.labels == ("cat", "dog")
    found = task.encode(ROWS, "t")
    assert found.shape == (3, 2, 5)
    assert found[0] == pytest.approx(
        np.array([[1, 0.2, 0.3, 0.2, 0.4], [0, 0.75, 0.625, 0.5, 0.25]])
    )
    assert found[1, :, 0].tolist() == [-1, -1]
    assert found[2, :, 0].tolist() == [-2, 0]


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(DataError, match="no picture has a box"):
        Detection().fit([[], None], "t")
    with pytest.raises(DataError, match="2 boxes; expected at most 1"):
        Detection(grid=1).fit(ROWS, "t").encode(ROWS, "t")
    with pytest.raises(DataError, match="Did you mean 'dog'"):
        Detection(labels=("cat", "dog")).encode([[box("dgo", 0, 0, 1, 1)]], "t")


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(1, 4))
def test_the_matching_is_the_cheapest_of_all(seed: int, queries: int, boxes: int) -> None:
    boxes = min(boxes, queries)
    costs = np.random.default_rng(seed).normal(size=(1, queries, boxes))
    found = assigned(costs, np.ones((1, boxes), np.bool_))
    assert sorted(found[:, 2]) == list(range(boxes))
    assert len(set(found[:, 1])) == boxes
    cheapest = min(
        sum(costs[0, query, place] for place, query in enumerate(order))
        for order in permutations(range(queries), boxes)
    )
    assert costs[0][found[:, 1], found[:, 2]].sum() == pytest.approx(cheapest)


def test_generalised_iou_is_one_for_equals_and_below_zero_far_apart() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2], [0.25, 0.2, 0.2, 0.2]])
    assert generalised_iou(boxes, boxes).tolist() == pytest.approx([1, 1, 1])
    assert generalised_iou(boxes[0], boxes[1]).item() == pytest.approx(-(0.64 - 0.08) / 0.64)
    assert generalised_iou(boxes[0], boxes[2]).item() == pytest.approx(0.03 / 0.05)


def logits_of(task: Detection, targets: torch.Tensor, sure: float = 20.0) -> torch.Tensor:
    """Logits that say the true boxes, one query each in order, and no object otherwise."""
    said = torch.zeros(len(targets), task.queries, len(task.labels) + 5)
    said[..., len(task.labels)] = sure
    for row, boxes in enumerate(targets):
        for place, one in enumerate(boxes[boxes[:, 0] >= 0]):
            said[row, place, len(task.labels)] = 0.0
            said[row, place, int(one[0])] = sure
            said[row, place, -4:] = one[1:].logit(eps=1e-6)
    return said.flatten(1)


def test_the_loss_is_least_for_the_truth_and_does_not_care_who_says_it() -> None:
    task = Detection(grid=2).fit(ROWS, "t")
    targets = torch.from_numpy(task.encode(ROWS, "t"))
    true = logits_of(task, targets)
    assert task.loss(true, targets).item() == pytest.approx(0.0, abs=1e-4)
    turned = true.reshape(3, 4, -1).flip(1).flatten(1)
    assert task.loss(turned, targets).item() == pytest.approx(0.0, abs=1e-4)
    off = true.clone()
    off[:, -4:] += 1.0
    other = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    assert task.loss(other, targets) > 0.5


def test_the_loss_weighs_rows() -> None:
    task = Detection(grid=2).fit(ROWS, "t")
    targets = torch.from_numpy(task.encode(ROWS, "t"))
    logits = torch.randn(3, task.outputs, generator=torch.Generator().manual_seed(0))
    alone = task.loss(logits[:1], targets[:1])
    # Boxes count by the batch's mean number, which the first row alone has twice.
    known = targets.clone()
    known[1:] = known[:1]
    weighed = task.loss(logits, known, row_weights=torch.tensor([1.0, 0.0, 0.0]))
    assert weighed.item() == pytest.approx(alone.item(), rel=1e-5)
    assert task.loss(logits, targets, gamma=2.0) < task.loss(logits, targets)


def test_gradients_reach_all_logits() -> None:
    task = Detection(grid=2).fit(ROWS, "t")
    targets = torch.from_numpy(task.encode(ROWS, "t"))
    logits = torch.zeros(3, task.outputs, requires_grad=True)
    task.loss(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    moved = logits.grad.reshape(3, 4, -1)
    assert (moved[..., :-4].abs().sum((1, 2)) > 0).all()
    assert moved[1, :, -4:].abs().sum() == 0  # no box, nothing to pull at


def test_scores_are_read_back_as_boxes() -> None:
    task = Detection(grid=2).fit(ROWS, "t")
    targets = task.encode(ROWS, "t")
    scores = task.scores(logits_of(task, torch.from_numpy(targets))).double().numpy()
    assert scores.shape == (3, 4, 7)
    told = task.decode(scores)
    assert [[one["label"] for one in row] for row in told] == [["dog", "cat"], [], ["cat"]]
    assert told[0][1]["x"] == pytest.approx(0.5, abs=1e-5)
    assert told[0][1]["h"] == pytest.approx(0.25, abs=1e-5)
    assert METRICS["map"](scores, targets) == pytest.approx(1.0)


def test_a_crowd_is_no_box_to_learn() -> None:
    costs = match_costs(
        torch.full((1, 2, 1), 0.5),
        torch.rand(1, 2, 4),
        torch.tensor([[[-2.0, 0.5, 0.5, 1.0, 1.0]]]),
        box_weight=1.0,
        iou_weight=1.0,
    )
    assert len(assigned(costs.double().numpy(), np.array([[False]]))) == 0


@pytest.mark.parametrize(
    "options", [{"grid": 0}, {"width": 6}, {"no_object": 0.0}, {"box_weight": 0, "iou_weight": 0}]
)
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"width|grid|no_object|box_weight"):
        Detection(**options)


def test_a_fitted_task_is_a_plain_value() -> None:
    task = Detection(grid=3).fit(ROWS, "t")
    assert build(TASKS, spec_of(TASKS, task), "task") == task


def test_a_few_pictures_show_each_class_so_often() -> None:
    shown = ["ab", "a", "", "bb", "ac", "c", "b"]
    values = [[{"label": one, "x": 0, "y": 0, "w": 0.5, "h": 0.5} for one in row] for row in shown]
    values[2] = [values[5][0] | {"crowd": True}]
    task = Detection(labels=("a", "b", "c"))
    targets = task.encode(values, "t")
    assert task.classes(targets) == [frozenset(row) for row in shown]
    table = Table.from_dict({"text": shown})
    parts = Split(*(np.array(rows, np.int64) for rows in (range(1, 7), [], [0])))
    prepared = Prepared(Domain(table, parts, targets, task), None, {})
    rows = prepared.training_rows("target", None, 0, shots=2)
    assert 0 not in rows
    assert all(sum(one in shown[row] for row in rows) >= 2 for one in "abc")
    with pytest.raises(DataError, match="class 'a' has 2"):
        prepared.training_rows("target", None, 0, shots=3)


def test_a_crowd_of_a_class_that_nobody_learns_is_left_out() -> None:
    box = {"x": 0.1, "y": 0.1, "w": 0.2, "h": 0.2}
    values = [[{"label": "cat", **box}], [{"label": "people", **box, "crowd": True}]]
    task = Detection().fit(values, "t")
    assert task.labels == ("cat",)
    assert task.encode(values, "t")[:, 0, 0].tolist() == [0.0, -1.0]
