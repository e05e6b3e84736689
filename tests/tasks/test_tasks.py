"""Tasks: labels to targets, losses against torch's own, scores back to labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from transfuse.errors import DataError
from transfuse.recipe import build, spec_of
from transfuse.tasks import TASKS, Classification, MultiLabel, Regression, task_for


def test_labels_choose_the_task() -> None:
    assert isinstance(task_for(["a", "b"]), Classification)
    assert isinstance(task_for([1.0, 2.0]), Classification)
    assert isinstance(task_for([1.5, 2.0]), Regression)
    assert isinstance(task_for([["a"], []]), MultiLabel)


def test_class_names_keep_number_order_and_equal_numbers_are_one_class() -> None:
    task = Classification().fit([10, 9.0, 9, 2], "t")
    assert task.labels == ("2", "9", "10")
    assert task.encode([9.0, "10", 2], "t").tolist() == [1, 2, 0]
    assert Classification().fit(["差", "好"], "t").decode(np.array([[0.1, 0.9]])) == ["差"]


@pytest.mark.parametrize(
    ("values", "said"), [(["a", "a"], "only one class, 'a'"), ([], "no labelled rows")]
)
def test_a_task_that_cannot_be_learnt_is_refused(values: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Classification().fit(values, "reviews.csv")


def test_every_unknown_label_is_named_once_with_its_count() -> None:
    task = Classification(labels=("negative", "positive"))
    with pytest.raises(DataError) as caught:
        task.encode(["postive", "positive", "postive", "meh"], "test.csv")
    told = [str(problem) for problem in caught.value.problems]
    assert "2 rows" in told[0]
    assert "Did you mean 'positive'?" in told[0]
    assert len(told) == 2


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(st.integers(0, classes - 1), min_size=1, max_size=8),
            st.floats(0, 0.9),
        )
    )
)
def test_the_loss_is_torchs_cross_entropy(given_: tuple[int, list[int], float]) -> None:
    classes, targets, smoothing = given_
    task = Classification(labels=tuple(map(str, range(classes))))
    logits = torch.randn(len(targets), classes)
    wanted = torch.tensor(targets)
    weights = torch.rand(classes) + 0.1
    plain = functional.cross_entropy(logits, wanted, label_smoothing=smoothing)
    assert task.loss(logits, wanted, smoothing=smoothing).item() == pytest.approx(
        plain.item(), rel=1e-5
    )
    weighted = functional.cross_entropy(logits, wanted, weight=weights)
    assert task.loss(logits, wanted, weights=weights).item() == pytest.approx(
        weighted.item(), rel=1e-5
    )
    assert task.loss(logits, wanted, gamma=2.0) <= task.loss(logits, wanted) + 1e-6


def test_balanced_weights_give_every_class_the_same_say() -> None:
    task = Classification(labels=("a", "b", "c"), class_weights="balanced")
    targets = np.array([0, 0, 0, 1])
    weights = task.weights(targets)
    assert weights is not None
    np.testing.assert_allclose(weights[:2] * np.bincount(targets), [4 / 3, 4 / 3], rtol=1e-6)
    assert weights[2] == 0
    assert Classification(labels=("a", "b")).weights(targets) is None


def test_several_labels_there_and_back() -> None:
    task = MultiLabel().fit([["b", "a"], [], ["c"]], "t")
    encoded = task.encode([["a", "c"], []], "t")
    assert encoded.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert task.decode(encoded) == [["a", "c"], []]
    logits = torch.randn(2, 3)
    plain = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(encoded))
    assert task.loss(logits, torch.from_numpy(encoded)).item() == pytest.approx(plain.item())


def test_numbers_are_learnt_on_their_own_scale() -> None:
    task = Regression().fit([1.0, 3.0, 5.0], "t")
    exact = (torch.tensor([1.0, 5.0]) - 3.0) / torch.tensor(np.std([1, 3, 5]))
    assert task.loss(exact[:, None], torch.tensor([1.0, 5.0])).item() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(task.scores(exact[:, None]).numpy()[:, 0], [1, 5], rtol=1e-5)
    with pytest.raises(DataError, match="no spread"):
        Regression().fit([2.0, 2.0], "t")
    with pytest.raises(DataError, match="row 2"):
        Regression().encode([1.0, float("nan")], "t")


@pytest.mark.parametrize("name", TASKS)
def test_a_fitted_task_survives_its_recipe(name: str) -> None:
    values = {
        "classification": ["a", "b"],
        "multilabel": [["a"], ["b"]],
        "regression": [0.5, 1.5],
        "detection": [[{"label": "a", "x": 0.1, "y": 0.1, "w": 0.5, "h": 0.5}], []],
        "segmentation": [np.eye(2, dtype=np.uint8)],
        "matching": ["first", "second"],
    }
    task = build(TASKS, name, "task").fit(values.get(name, []), "t")
    assert build(TASKS, spec_of(TASKS, task), "task") == task
