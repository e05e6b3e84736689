"""Distillation of logits, and from the network's own mean: what the formulas promise."""

import math
from typing import Any

import pytest
import torch
from adaptation_steps import small_network
from hypothesis import given
from hypothesis import strategies as st
from regularised_steps import HEAD, facts_of, step_of, task_of

from transfuse.errors import RecipeError
from transfuse.objectives import Step, StreamTask
from transfuse.objectives.answers import FromLogits
from transfuse.objectives.distil import Distil
from transfuse.objectives.dkd import DKD, decoupled
from transfuse.objectives.self_distil import MeanTeacher, SelfDistil
from transfuse.tasks import Regression

SIZES = st.tuples(st.integers(1, 6), st.integers(2, 5))
SEEDS = st.integers(0, 10_000)


def loss_of(
    objective: FromLogits, student: torch.Tensor, *teachers: torch.Tensor, **more: Any
) -> Any:
    names = [question.name for question in objective.questions]
    batch = dict(zip(names, teachers, strict=True)) | more
    (loss,) = objective.losses(step_of(student, batch=batch), None).values()
    return loss


def draw(seed: int, *shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(SIZES, SEEDS, st.floats(0.5, 8))
def test_a_student_that_equals_its_teacher_loses_nothing(
    size: tuple[int, int], seed: int, temperature: float
) -> None:
    logits = draw(seed, *size)
    for objective in (Distil("t", temperature=temperature), DKD("t", temperature=temperature)):
        # Adding a constant to all logits of a row changes no probability.
        assert abs(float(loss_of(objective, logits + 3, logits))) < 1e-4
        other = draw(seed + 1, *size)
        assert float(loss_of(objective, other, logits)) > -1e-5


def test_the_divergence_is_that_of_the_textbook_and_a_mean_over_rows_alone() -> None:
    student, teacher = draw(1, 4, 3), draw(2, 4, 3)
    shares, own = (teacher / 3).softmax(-1), (student / 3).softmax(-1)
    expected = 9 * (shares * (shares / own).log()).sum() / 4
    torch.testing.assert_close(loss_of(Distil("t", temperature=3.0), student, teacher), expected)
    # Twice the same rows are the same loss; a mean over entries would depend on the classes.
    twice = loss_of(Distil("t", temperature=3.0), student.repeat(2, 1), teacher.repeat(2, 1))
    torch.testing.assert_close(twice, expected)


def test_the_gradient_keeps_its_scale_at_high_temperatures() -> None:
    teacher = draw(2, 5, 4)
    norms = []
    for temperature in (20.0, 40.0, 80.0):
        student = draw(1, 5, 4).requires_grad_()
        loss_of(Distil("t", temperature=temperature), student, teacher).backward()
        assert student.grad is not None
        norms.append(float(student.grad.norm()))
    assert norms[0] == pytest.approx(norms[2], rel=0.05)
    # In the limit it is the difference of centred logits over classes and rows.
    gap = draw(1, 5, 4) - teacher
    limit = (gap - gap.mean(1, keepdim=True)) / 4 / 5
    assert norms[2] == pytest.approx(float(limit.norm()), rel=0.02)


def test_several_teachers_are_the_mean_of_their_probabilities() -> None:
    student, one, other = draw(1, 4, 3), draw(2, 4, 3), draw(3, 4, 3)
    mixed = 0.25 * (one / 2).softmax(-1) + 0.75 * (other / 2).softmax(-1)
    both = loss_of(Distil(("a", "b"), shares=(1.0, 3.0)), student, one, other)
    torch.testing.assert_close(both, loss_of(Distil("t"), student, 2 * mixed.log()))
    torch.testing.assert_close(
        loss_of(Distil(("a", "b")), student, one, one), loss_of(Distil("a"), student, one)
    )


def test_rows_of_unsure_teachers_send_no_gradient() -> None:
    student = draw(1, 3, 2).requires_grad_()
    teacher = torch.tensor([[4.0, 0.0], [0.1, 0.0], [0.0, 3.0]])
    for objective in (Distil("t", min_confidence=0.9), DKD("t", min_confidence=0.9)):
        (slope,) = torch.autograd.grad(loss_of(objective, student, teacher), student)
        assert slope[1].abs().sum() == 0
        assert slope[0].abs().sum() > 0
    everything = Distil("t", min_confidence=1.0)
    assert loss_of(everything, student, teacher) == 0


def test_rows_count_as_the_stream_weighs_them() -> None:
    student, teacher = draw(1, 3, 3), draw(2, 3, 3)
    weighed = loss_of(Distil("t"), student, teacher, weights=torch.tensor([1.0, 2.0, 0.0]))
    alone = [loss_of(Distil("t"), student[i : i + 1], teacher[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(weighed, (alone[0] + 2 * alone[1]) / 3)


@given(SIZES, SEEDS)
def test_the_decoupled_parts_make_up_the_whole(size: tuple[int, int], seed: int) -> None:
    rows, classes = size
    student, teacher = (draw(seed + i, rows, classes).double() for i in range(2))
    log_student, log_teacher = student.log_softmax(-1), teacher.log_softmax(-1)
    targets = torch.arange(rows) % classes
    own, rest = decoupled(log_student, log_teacher, targets)
    others = 1 - log_teacher.exp()[torch.arange(rows), targets]
    whole = (log_teacher.exp() * (log_teacher - log_student)).sum(-1)
    torch.testing.assert_close(own + others * rest, whole)
    if classes == 2:
        assert (rest == 0).all()


def test_decoupled_distillation_uses_labels_or_else_the_teachers_first_choice() -> None:
    student, teacher = draw(1, 4, 3), draw(2, 4, 3)
    first = teacher.argmax(-1)
    objective = DKD("t")
    without = loss_of(objective, student, teacher)
    torch.testing.assert_close(loss_of(objective, student, teacher, targets=first), without)
    assert not torch.isclose(loss_of(objective, student, teacher, targets=(first + 1) % 3), without)


@given(SIZES, SEEDS, st.floats(0, 1))
def test_the_divergence_is_convex_in_the_students_logits(
    size: tuple[int, int], seed: int, share: float
) -> None:
    # So that a frozen probe that learns from a teacher is solved and not trained.
    one, other, teacher = (draw(seed + i, *size) for i in range(3))
    objective = Distil("t")
    assert objective.convex
    between = loss_of(objective, share * one + (1 - share) * other, teacher)
    chord = share * loss_of(objective, one, teacher) + (1 - share) * loss_of(
        objective, other, teacher
    )
    assert float(between) <= float(chord) + 1e-4


@pytest.mark.parametrize("objective", [Distil("t"), DKD("t", beta=2.0)])
def test_a_student_learns_its_teachers_probabilities_without_a_label(objective: Any) -> None:
    points, teacher = draw(1, 60, 4), draw(2, 4, 3)
    student = torch.zeros(4, 3, requires_grad=True)
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss_of(objective, points @ student, points @ teacher).backward()
        optimizer.step()
    learnt = (points @ student.detach()).softmax(-1)
    torch.testing.assert_close(learnt, (points @ teacher).softmax(-1), atol=0.02, rtol=0)


def test_extreme_logits_give_finite_losses_and_gradients() -> None:
    student = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-300.0, 300.0, 0.0]])
    for objective in (Distil("t", temperature=1.0), DKD("t", temperature=1.0)):
        loss = loss_of(objective, student, teacher)
        (slope,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert slope.isfinite().all()


@pytest.mark.parametrize("objective", [Distil("t"), DKD("t"), SelfDistil()])
def test_a_task_without_classes_is_refused(objective: Any) -> None:
    with pytest.raises(RecipeError, match="needs classes"):
        objective.module(small_network(), facts_of(StreamTask(Regression(), HEAD)))


@pytest.mark.parametrize(
    "options",
    [
        {"teacher": ()},
        {"teacher": ("a", "a")},
        {"teacher": "a", "temperature": 0.0},
        {"teacher": "a", "shares": (1.0, 1.0)},
        {"teacher": ("a", "b"), "shares": (1.0, 0.0)},
        {"teacher": "a", "min_confidence": 1.5},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"teacher|shares|temperature"):
        Distil(**options)


# The network's own mean


def own_step(network: Any, points: torch.Tensor, progress: float) -> Step:
    batch = {"points": points}
    return Step(
        network, {"target": batch}, {"target": network(batch)}, {"target": task_of()}, progress
    )


def test_the_mean_teacher_follows_its_formula() -> None:
    network = small_network()
    objective = SelfDistil(decay=0.7)
    teacher = objective.module(network, facts_of())
    assert isinstance(teacher, MeanTeacher)
    points, seen = torch.randn(5, 4), []
    for number in range(6):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        seen.append(network.heads[HEAD].classifier.weight.detach().clone())
        for _ in range(2):  # the parts of one step move the mean once
            objective.losses(own_step(network, points, number / 6), teacher)
    expected = torch.zeros_like(seen[0])
    for number, weight in enumerate(seen):
        kept = min(0.7, 1 - 1 / (number + 1))
        expected = kept * expected + (1 - kept) * weight
    torch.testing.assert_close(teacher.network.heads[HEAD].classifier.weight, expected)


def test_the_mean_teacher_has_no_gradient_no_dropout_and_rests_in_evaluation() -> None:
    body = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
    network = small_network(body=body)
    objective = SelfDistil()
    teacher = objective.module(network, facts_of())
    assert isinstance(teacher, MeanTeacher)
    network.train()
    teacher.train()
    assert teacher.training
    assert not any(part.training for part in teacher.network.modules())
    points = torch.randn(5, 4)
    batch = {"points": points}
    one, other = (teacher.network(batch).logits[HEAD] for _ in range(2))
    assert torch.equal(one, other)
    loss = objective.losses(own_step(network, points, 0.0), teacher)["self_distil"]
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert any(weight.grad is not None for weight in network.parameters())
    teacher.eval()
    before = teacher.network.heads[HEAD].classifier.weight.clone()
    with torch.no_grad():
        network.heads[HEAD].classifier.weight.add_(1)
    objective.losses(own_step(network, points, 0.5), teacher)
    assert torch.equal(before, teacher.network.heads[HEAD].classifier.weight)


@pytest.mark.parametrize("loss", ["mse", "kl"])
def test_a_network_without_dropout_agrees_with_itself_at_first(loss: Any) -> None:
    network = small_network()
    objective = SelfDistil(loss=loss, temperature=2.0)
    teacher = objective.module(network, facts_of())
    step = own_step(network, torch.randn(5, 4), 0.0)
    assert float(objective.losses(step, teacher)["self_distil"].detach()) == pytest.approx(
        0, abs=1e-6
    )
    with torch.no_grad():
        network.heads[HEAD].classifier.weight.add_(torch.randn(3, 4))
    apart = objective.losses(own_step(network, torch.randn(5, 4), 0.0), teacher)
    assert 0 < float(apart["self_distil"].detach()) < math.inf


def test_the_mean_teacher_resumes_with_its_module() -> None:
    network = small_network()
    teacher = MeanTeacher(network)
    teacher.follow(small_network(body=torch.nn.Linear(4, 4)), 0.1, 0.9)
    again = MeanTeacher(network)
    again.load_state_dict(teacher.state_dict())
    for one, other in zip(teacher.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
