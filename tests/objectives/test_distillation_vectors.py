"""Distillation of hidden states, relations and embeddings: what the formulas promise."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regularised_steps import Fixed, facts_of, step_of

from transfuse.errors import RecipeError
from transfuse.objectives.delta import Delta
from transfuse.objectives.embed import Embed, principal_projection
from transfuse.objectives.hidden import Hidden
from transfuse.objectives.relations import Relations, token_relations
from transfuse.objectives.rkd import RKD, angles, relative_distances


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: list[int]) -> torch.Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def token_loss(objective: Any, student: torch.Tensor, mask: torch.Tensor, *answers: Any) -> Any:
    names = [question.name for question in objective.questions]
    widths = {name: each.shape[-1] for name, each in zip(names, answers, strict=True)}
    torch.manual_seed(0)
    module = objective.module(Fixed(student.shape[-1]), facts_of(widths=widths))
    batch = dict(zip(names, answers, strict=True))
    features = torch.zeros(len(student), student.shape[-1])
    step = step_of(features=features, tokens=student, mask=mask, batch=batch)
    (loss,) = objective.losses(step, module).values()
    return loss


TOKEN_OBJECTIVES = [Hidden("t"), Relations("t", heads=2), Delta()]


@pytest.mark.parametrize("objective", TOKEN_OBJECTIVES)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 1000), st.floats(-50, 50)
)
def test_padding_has_no_influence(
    objective: Any, lengths: list[int], seed: int, noise: float
) -> None:
    mask = mask_of(lengths)
    student, teacher = draw(seed, *mask.shape, 4), draw(seed + 1, *mask.shape, 4)
    padding = (mask == 0)[..., None]
    plain = token_loss(objective, student, mask, teacher)
    changed = token_loss(
        objective,
        torch.where(padding, student + noise, student),
        mask,
        torch.where(padding, teacher - noise, teacher),
    )
    torch.testing.assert_close(changed, plain)
    longer = torch.nn.functional.pad(mask, (0, 2))
    wider = [
        torch.nn.functional.pad(each, (0, 0, 0, 2), value=noise) for each in (student, teacher)
    ]
    torch.testing.assert_close(token_loss(objective, wider[0], longer, wider[1]), plain)
    student.requires_grad_()
    (slope,) = torch.autograd.grad(token_loss(objective, student, mask, teacher), student)
    assert slope.masked_select(padding).abs().sum() == 0


@pytest.mark.parametrize("objective", TOKEN_OBJECTIVES)
def test_over_a_frozen_encoder_no_token_can_move(objective: Any) -> None:
    name = objective.questions[0].name
    module = objective.module(Fixed(4), facts_of(widths={name: 4}))
    features = draw(1, 3, 4).requires_grad_()
    step = step_of(features=features, batch={"pooled": features})
    (loss,) = objective.losses(step, module).values()
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert features.grad.abs().sum() == 0


@pytest.mark.parametrize("objective", TOKEN_OBJECTIVES)
def test_a_network_without_tokens_is_refused(objective: Any) -> None:
    name = objective.questions[0].name
    module = objective.module(Fixed(4), facts_of(widths={name: 4}))
    with pytest.raises(RecipeError, match="no vector for each token"):
        objective.losses(step_of(features=draw(1, 3, 4), batch={name: draw(2, 3, 2, 4)}), module)


def test_hidden_states_that_a_projection_can_reach_are_reached() -> None:
    mask, student = mask_of([5, 3, 4]), draw(1, 3, 5, 4)
    turn = draw(2, 6, 4)
    objective = Hidden("t", layers=(1, 3))
    names = [question.name for question in objective.questions]
    assert names == ["tokens:1@t", "tokens:3@t"]
    module = objective.module(Fixed(4), facts_of(widths=dict.fromkeys(names, 6)))
    assert isinstance(module, torch.nn.ModuleList)
    with torch.no_grad():
        for projection in module:
            projection.weight.copy_(turn)  # type: ignore[union-attr, operator]
            projection.bias.fill_(0.5)  # type: ignore[union-attr, operator]
    batch = dict.fromkeys(names, student @ turn.T + 0.5)
    step = step_of(features=draw(3, 3, 4), tokens=student, mask=mask, batch=batch)
    assert float(objective.losses(step, module)["hidden"].detach()) < 1e-10


def test_pooled_hidden_states_are_compared_row_by_row() -> None:
    objective = Hidden("t", of="pooled")
    (name,) = [question.name for question in objective.questions]
    module = objective.module(Fixed(4), facts_of(widths={name: 6}))
    assert module is not None
    features, wanted = draw(1, 5, 4), draw(2, 5, 6)
    loss = objective.losses(step_of(features=features, batch={name: wanted}), module)["hidden"]
    (projection,) = module.children()
    torch.testing.assert_close(loss, (projection(features) - wanted).square().mean())


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_relations_are_shares_that_a_rotation_leaves_alone(seed: int, heads: int) -> None:
    mask, tokens = mask_of([4, 2]), draw(seed, 2, 4, 8)
    shares = token_relations(tokens, mask.bool(), heads).exp()
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, heads, 4))
    assert shares[1, ..., 2:].abs().max() == 0
    turn, _ = torch.linalg.qr(draw(seed + 1, 8 // heads, 8 // heads))
    turned = (tokens.view(2, 4, heads, -1) @ turn).view(2, 4, 8)
    torch.testing.assert_close(
        token_relations(turned, mask.bool(), heads).exp(), shares, atol=1e-4, rtol=1e-4
    )


def test_a_student_that_relates_as_its_teacher_does_loses_nothing_at_any_width() -> None:
    mask, tokens = mask_of([4, 3]), draw(1, 2, 4, 8)
    objective = Relations("t", heads=2)
    assert abs(float(token_loss(objective, tokens, mask, tokens))) < 1e-6
    assert float(token_loss(objective, draw(2, 2, 4, 6), mask, tokens)) > 0
    with pytest.raises(RecipeError, match="a divisor of 2"):
        token_loss(Relations("t", heads=4), draw(2, 2, 4, 6), mask, tokens)


def rkd_loss(student: torch.Tensor, teacher: torch.Tensor, **options: float) -> torch.Tensor:
    objective = RKD("t", **options)  # type: ignore[arg-type]
    batch = {objective.questions[0].name: teacher}
    return objective.losses(step_of(features=student, batch=batch), None)["rkd"]


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0.1, 10))
def test_a_layout_is_the_same_moved_turned_and_scaled(seed: int, rows: int, scale: float) -> None:
    teacher = draw(seed, rows, 5)
    turn, _ = torch.linalg.qr(draw(seed + 1, 5, 5))
    assert float(rkd_loss(scale * teacher @ turn + 2, teacher)) < 1e-5
    distances = relative_distances(teacher)
    off = ~torch.eye(rows, dtype=torch.bool)
    torch.testing.assert_close(distances[off].mean(), torch.tensor(1.0))


def test_angles_are_those_of_a_right_triangle() -> None:
    found = angles(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert float(found[0, 1, 2]) == pytest.approx(0, abs=1e-6)
    assert float(found[1, 0, 2]) == pytest.approx(0.5**0.5, abs=1e-6)
    assert float(found[0, 1, 1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rows_that_have_collapsed_send_finite_gradients(rows: int) -> None:
    for student, teacher in ((torch.ones(rows, 3), draw(1, rows, 4)), (draw(1, rows, 3),) * 2):
        student = student.clone().requires_grad_()
        rkd_loss(student, teacher * 0 if student is teacher else teacher).backward()
        assert student.grad is not None
        assert student.grad.isfinite().all()
    assert rkd_loss(draw(1, rows, 3), torch.ones(rows, 4)).isfinite()


def embed_loss(objective: Embed, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    name = objective.questions[0].name
    facts = facts_of(widths={name: teacher.shape[1]}, answers={name: teacher.numpy()})
    module = objective.module(Fixed(student.shape[1]), facts)  # type: ignore[arg-type]
    step = step_of(features=student, batch={name: teacher})
    step = type(step)(
        step.network,
        {"unlabelled": step.batches["target"]},
        {"unlabelled": step.outputs["target"]},
        step.tasks,
        0.5,
    )
    return objective.losses(step, module)["embed"]


def test_equal_widths_are_compared_as_they_are() -> None:
    student, teacher = draw(1, 5, 4), draw(2, 5, 4)
    torch.testing.assert_close(
        embed_loss(Embed("t"), student, teacher), (student - teacher).square().mean()
    )
    cosine = Embed("t", loss="cosine")
    assert float(embed_loss(cosine, 3 * teacher, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(embed_loss(cosine, -teacher, teacher)) == pytest.approx(2, abs=1e-6)


def test_the_first_projection_rebuilds_principal_components_best() -> None:
    teacher = draw(1, 40, 6) * torch.tensor([5.0, 3, 2, 0.5, 0.2, 0.1]) + 4
    projection = principal_projection(teacher, 3)
    axes = projection.weight.detach()
    torch.testing.assert_close(axes.T @ axes, torch.eye(3), atol=1e-5, rtol=1e-5)
    scores = (teacher - teacher.mean(0)) @ axes
    error = (projection(scores) - teacher).square().sum()
    spread = torch.linalg.svdvals(teacher - teacher.mean(0))
    torch.testing.assert_close(error, spread[3:].square().sum(), atol=1e-3, rtol=1e-3)
    wider = principal_projection(teacher, 8)
    assert wider.weight[:, 6:].abs().sum() == 0
    loss = embed_loss(Embed("t"), scores.detach(), teacher)
    torch.testing.assert_close(loss, error / teacher.numel())


def test_a_learned_projection_trains_with_the_student() -> None:
    student = draw(1, 12, 3).requires_grad_()
    loss = embed_loss(Embed("t", start="random"), student, draw(2, 12, 5))
    loss.backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert np.isfinite(loss.item())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Hidden, {"layers": ()}),
        (Hidden, {"layers": (1, 1)}),
        (Hidden, {"layers": (0,)}),
        (Hidden, {"layers": (1,), "of": "pooled"}),
        (Relations, {"heads": 0}),
        (RKD, {"angle": -1.0}),
    ],
)
def test_wrong_options_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"layers|heads|angle"):
        kind("t", **options)
