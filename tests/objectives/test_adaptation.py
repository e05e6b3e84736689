"""What each objective of domain adaptation promises, on steps small enough to work out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from adaptation_steps import (
    CLASSES,
    HEAD,
    classification,
    facts_of,
    regression,
    small_network,
    step_of,
    three_streams,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import nn

from transfuse.errors import RecipeError
from transfuse.models import Network
from transfuse.objectives import OBJECTIVES, Objective, StreamTask
from transfuse.objectives.adversarial import domain_loss, ramp, reverse
from transfuse.objectives.cdan import ConditionalJudge
from transfuse.objectives.deepjdot import transport_plan
from transfuse.objectives.domains import nothing
from transfuse.objectives.mcc import class_confusion
from transfuse.objectives.mdd import disagreement
from transfuse.recipe import build

ALIGNING = ("coral", "mmd", "dann", "afn")
DISCRETE = ("mcc", "cdan", "mdd", "deepjdot", "entropy", "pseudo")
TARGETS = torch.arange(8) % CLASSES


def objective_of(spec: Any) -> Objective:
    return build(OBJECTIVES, spec, "learn")


def loss_of(spec: Any, network: Network, points: dict[str, torch.Tensor], **more: Any) -> Any:
    objective = objective_of(spec)
    module = objective.module(network, facts_of(classification(network.heads[HEAD].outputs)))
    (loss,) = objective.losses(step_of(network, points, TARGETS, **more), module).values()
    return loss, module


def gradients(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: each.grad for key, each in network.named_parameters() if each.grad is not None}


# What all share


@pytest.mark.parametrize("name", [*ALIGNING, *DISCRETE, "shot", "ada_bn"])
def test_source_and_target_answer_with_one_head(name: str) -> None:
    apart = facts_of(source=StreamTask(classification().task, "source"))
    with pytest.raises(RecipeError, match=f"{name} needs one head.*among the target's"):
        objective_of(name).module(small_network(), apart)


@pytest.mark.parametrize("name", [*DISCRETE, "shot"])
def test_a_method_of_classes_says_that_it_needs_them(name: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} needs classes, the task is regression"):
        objective_of(name).module(small_network(classes=1), facts_of(regression()))


@pytest.mark.parametrize("name", ALIGNING)
def test_a_method_of_features_needs_no_classes(name: str) -> None:
    network, objective = small_network(classes=1), objective_of(name)
    module = objective.module(network, facts_of(regression()))
    step = step_of(network, three_streams(), task=regression())
    assert objective.losses(step, module)[name].isfinite()


@pytest.mark.parametrize("name", [*ALIGNING, *DISCRETE])
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_any_number_of_rows_gives_a_finite_loss_that_reaches_the_encoder(
    name: str, rows: int
) -> None:
    network = small_network()
    spec = {"pseudo": {"threshold": 0.0}} if name == "pseudo" else name
    loss, _ = loss_of(spec, network, three_streams(m=rows), progress=0.5)
    loss.backward()
    found = gradients(network.encoders)
    assert len(found) == 2
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(each.isfinite().all() for each in found.values())


@pytest.mark.parametrize("name", [*ALIGNING, *DISCRETE])
def test_a_frozen_encoder_breaks_nothing(name: str) -> None:
    network = small_network()
    network.encoders.requires_grad_(False)
    spec = {"pseudo": {"threshold": 0.0}} if name == "pseudo" else name
    points = three_streams()
    loss, _ = loss_of(spec, network, points)
    supervised = nn.functional.cross_entropy(
        network({"points": points["source"]}).logits[HEAD], TARGETS
    )
    (loss + 0 * supervised).backward()
    head = gradients(network.heads)
    moved = any(each.abs().max() > 0 for each in head.values())
    assert moved == (name in ("mcc", "entropy", "pseudo", "deepjdot"))


@pytest.mark.parametrize("name", [*ALIGNING, *DISCRETE])
def test_outputs_in_bfloat16_give_a_loss_in_32_bits(name: str) -> None:
    network, objective = small_network(), objective_of(name)
    module = objective.module(network, facts_of())
    with torch.autocast("cpu", torch.bfloat16):
        step = step_of(network, three_streams(), TARGETS)
        (loss,) = objective.losses(step, module).values()
    assert step.outputs["source"].features.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    loss.backward()


def test_nothing_is_0_with_a_graph() -> None:
    weight = torch.ones(3, requires_grad=True)
    loss = nothing(weight, 2 * weight)
    loss.backward()
    assert loss.item() == 0
    assert weight.grad is not None
    assert not weight.grad.any()


# Adversaries


def test_the_reversed_gradient_has_the_other_sign() -> None:
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    turned = reverse(values, 0.3)
    torch.testing.assert_close(turned, values)
    turned.sum().backward()
    torch.testing.assert_close(values.grad, torch.full((2,), -0.3))


def test_the_coefficient_follows_the_share_of_training_done() -> None:
    assert ramp(0.0) == 0.0
    assert ramp(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert ramp(1.0) == pytest.approx(0.9999092)
    assert ramp(0.5, gamma=1.0) < ramp(0.5)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_judge_learns_in_full_and_the_encoder_against_it_by_the_coefficient(
    progress: float,
) -> None:
    network, points = small_network(), three_streams()
    objective = objective_of("dann")
    judge = objective.module(network, facts_of())
    assert judge is not None
    objective.losses(step_of(network, points, progress=progress), judge)["dann"].backward()
    told, learnt = gradients(network.encoders), gradients(judge)
    network.zero_grad()
    judge.zero_grad()
    step = step_of(network, points)
    plain = domain_loss(*(judge(step.outputs[name].features) for name in ("source", "unlabelled")))
    plain.backward()
    for key, each in gradients(network.encoders).items():
        torch.testing.assert_close(told[key], -ramp(progress) * each, atol=1e-6, rtol=1e-4)
    for key, each in gradients(judge).items():
        torch.testing.assert_close(learnt[key], each, atol=1e-6, rtol=1e-4)


@given(st.integers(1, 9), st.integers(1, 9))
def test_both_domains_count_half_whatever_their_rows(n: int, m: int) -> None:
    source, target = torch.randn(n), torch.randn(m)
    once = domain_loss(source, target)
    torch.testing.assert_close(domain_loss(source.repeat(5), target), once)
    assert float(domain_loss(torch.zeros(n), torch.zeros(m))) == pytest.approx(math.log(2))


def test_the_conditional_judge_sees_every_product() -> None:
    judge = ConditionalJudge(4, 3, projection=10, hidden=5)
    features, shares = torch.randn(6, 4), torch.rand(6, 3)
    exact = torch.einsum("nd,nc->ndc", features, shares).flatten(1)
    torch.testing.assert_close(judge.product(features, shares), exact)
    assert not list(judge.buffers())


def test_a_projected_product_keeps_inner_products() -> None:
    judge = ConditionalJudge(64, 100, projection=20_000, hidden=2)
    assert judge.projected
    features, shares = torch.randn(5, 64), torch.randn(5, 100)
    seen = judge.product(features, shares)
    exact = (features @ features.T) * (shares @ shares.T)
    scale = float(exact.diagonal().mean())
    torch.testing.assert_close(seen @ seen.T, exact, atol=0.1 * scale, rtol=0.1)


def test_a_judge_conditioned_on_predictions_does_not_move_the_head() -> None:
    network = small_network()
    loss, _ = loss_of("cdan", network, three_streams())
    loss.backward()
    assert gradients(network.encoders)
    assert not gradients(network.heads)


def test_undecided_rows_weigh_half_of_sure_ones() -> None:
    sure, undecided = 1 + math.exp(0), 1 + math.exp(-math.log(CLASSES))
    body = nn.Linear(4, 4, bias=False)
    network = small_network(body=body)
    with torch.no_grad():
        body.weight.copy_(torch.eye(4))
        network.heads[HEAD].classifier.weight.copy_(1000 * torch.eye(3, 4))
        network.heads[HEAD].classifier.bias.zero_()
    row = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    loss, judge = loss_of("cdan", network, {"source": row, "unlabelled": row})
    shares = torch.tensor([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    logits = judge(row, shares)
    weights = torch.tensor([sure, undecided])
    halves = [
        (nn.functional.softplus(sign * logits) * weights).sum() / weights.sum() for sign in (-1, 1)
    ]
    torch.testing.assert_close(loss, sum(halves) / 2)


@given(st.integers(0, 99))
def test_disagreement_is_the_mean_of_minus_log_of_what_is_left(seed: int) -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
    labels = torch.tensor([0, 1, 2, 3, 0])
    left = 1 - logits.double().softmax(1)[torch.arange(5), labels]
    assert float(disagreement(logits, labels)) == pytest.approx(float(-left.log().mean()), rel=1e-5)


def test_disagreement_stays_finite_where_a_share_rounds_to_1() -> None:
    logits = torch.tensor([[500.0, 0.0]], requires_grad=True)
    loss = disagreement(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(500)
    torch.testing.assert_close(logits.grad, torch.tensor([[1.0, -1.0]]))


def test_mdd_weighs_the_source_by_the_margin_and_moves_no_head() -> None:
    network, points = small_network(), three_streams()
    losses = {}
    for margin in (1.0, 3.0, 5.0):
        torch.manual_seed(0)
        losses[margin], _ = loss_of({"mdd": {"margin": margin}}, network, points)
    torch.testing.assert_close(losses[5.0] - losses[3.0], losses[3.0] - losses[1.0])
    losses[3.0].backward()
    assert not gradients(network.heads)


# Transport


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_a_plan_moves_all_mass_and_has_no_gradient(n: int, m: int, seed: int) -> None:
    cost = torch.rand(n, m, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    plan = transport_plan(cost)
    assert not plan.requires_grad
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(1), torch.full((n,), 1 / n))
    torch.testing.assert_close(plan.sum(0), torch.full((m,), 1 / m))
    if n == m:
        rows, columns = linear_sum_assignment(cost.detach().numpy())
        best = float(cost.detach()[rows, columns].sum()) / n
        assert float((plan * cost.detach()).sum()) == pytest.approx(best, rel=1e-4, abs=1e-6)


def test_transport_costs_distance_and_surprise() -> None:
    network = small_network()
    points = {"source": torch.randn(1, 4), "unlabelled": torch.randn(1, 4)}
    step = step_of(network, points, torch.tensor([2]))
    spec = {"deepjdot": {"distance": 0.5, "labels": 2.0}}
    loss = objective_of(spec).losses(step, None)["deepjdot"]
    source, target = step.outputs["source"], step.outputs["unlabelled"]
    distance = (source.features - target.features).square().sum()
    surprise = nn.functional.cross_entropy(target.logits[HEAD], torch.tensor([2]))
    torch.testing.assert_close(loss, 0.5 * distance + 2 * surprise)


# Norms, certainty, confusion


def test_norms_grow_by_a_step_whatever_they_are() -> None:
    network = small_network(body=nn.Identity())
    points = three_streams()
    rows = points["unlabelled"].clone().requires_grad_()
    loss, _ = loss_of({"afn": {"delta": 0.5}}, network, points | {"unlabelled": rows})
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.item() == pytest.approx(2 * 0.5**2)
    # Along the row and outwards, equally long for short rows and long ones.
    expected = -2 * 0.5 * rows / rows.norm(dim=1, keepdim=True) / len(rows)
    torch.testing.assert_close(gradient, expected)


def test_a_vector_of_zeros_has_no_broken_gradient() -> None:
    rows = torch.zeros(2, 4, requires_grad=True)
    network = small_network(body=nn.Identity())
    loss, _ = loss_of("afn", network, three_streams() | {"unlabelled": rows})
    (gradient,) = torch.autograd.grad(loss, rows)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("scale", "expected"), [(0.0, math.log(CLASSES)), (1e4, 0.0)])
def test_entropy_is_0_where_sure_and_log_of_the_classes_where_undecided(
    scale: float, expected: float
) -> None:
    network = small_network()
    with torch.no_grad():
        for weight in network.heads[HEAD].parameters():
            weight.mul_(scale)
    loss, _ = loss_of("entropy", network, three_streams())
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 9), st.integers(2, 6), st.integers(0, 99))
def test_class_confusion_is_what_the_paper_writes(n: int, classes: int, seed: int) -> None:
    logits = 4 * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))
    shares = (logits / 2.5).double().softmax(1).numpy()
    certainty = 1 + np.exp((shares * np.log(shares)).sum(1))
    weights = n * certainty / certainty.sum()
    confusion = shares.T @ np.diag(weights) @ shares
    confusion /= confusion.sum(1, keepdims=True)
    expected = (confusion.sum() - np.trace(confusion)) / classes
    found = float(class_confusion(logits, 2.5))
    assert found == pytest.approx(expected, abs=1e-5)
    assert -1e-6 <= found <= 1 - 1 / classes + 1e-6


def test_sure_rows_confuse_nothing_and_undecided_rows_everything() -> None:
    assert float(class_confusion(1e4 * torch.eye(4)[:2], 2.5)) == pytest.approx(0.0)
    assert float(class_confusion(torch.zeros(5, 4), 2.5)) == pytest.approx(0.75)


# Pseudo-labels


def pseudo_step(network: Network, scores: list[list[float]]) -> Any:
    """A step whose weak logits are `scores` and whose varied rows are all zeros."""
    body = network.encoders["points"].body
    with torch.no_grad():
        body.weight.copy_(torch.eye(4))
        body.bias.zero_()
        network.heads[HEAD].classifier.weight.copy_(torch.eye(3, 4))
        network.heads[HEAD].classifier.bias.zero_()
    weak = torch.nn.functional.pad(torch.tensor(scores), (0, 1))
    return step_of(network, {"unlabelled": weak, "unlabelled/augmented": torch.zeros_like(weak)})


def test_rows_under_the_threshold_are_ignored() -> None:
    objective, network = objective_of({"pseudo": {"threshold": 0.9}}), small_network()
    sure, unsure = [0.0, 9.0, 0.0], [0.1, 0.0, 0.0]
    with_it = objective.losses(pseudo_step(network, [sure, unsure]), None)["pseudo"]
    # One row of two passes, and its varied text is undecided between three classes.
    assert with_it.item() == pytest.approx(math.log(3) / 2)
    with_it.backward()
    bias = network.heads[HEAD].classifier.bias.grad
    torch.testing.assert_close(bias, torch.tensor([1 / 3, -2 / 3, 1 / 3]) / 2)


def test_nothing_is_learnt_where_nothing_is_sure() -> None:
    network = small_network()
    loss = objective_of("pseudo").losses(pseudo_step(network, [[0.1, 0.0, 0.0]] * 3), None)
    loss["pseudo"].backward()
    assert loss["pseudo"].item() == 0
    assert all(not each.any() for each in gradients(network).values())


def test_the_label_comes_from_the_row_as_it_stands_and_without_gradient() -> None:
    network = small_network()
    step = pseudo_step(network, [[0.0, 9.0, 0.0]])
    weak, strong = (step.outputs[name].features for name in ("unlabelled", "unlabelled/augmented"))
    weak.retain_grad()
    strong.retain_grad()
    objective_of("pseudo").losses(step, None)["pseudo"].backward()
    assert weak.grad is None
    assert strong.grad.any()


def test_a_temperature_above_1_lets_fewer_pass_and_plain_pseudo_labels_read_one_stream() -> None:
    step = pseudo_step(small_network(), [[0.0, 4.0, 0.0]])
    passed = [
        objective_of({"pseudo": {"temperature": t}}).losses(step, None)["pseudo"].item()
        for t in (1.0, 3.0)
    ]
    assert passed[0] > 0 == passed[1]
    assert objective_of({"pseudo": {"augmented": False}}).streams == ("unlabelled",)


@pytest.mark.parametrize(
    "spec",
    [
        {"mcc": {"temperature": 0}},
        {"mmd": {"scales": []}},
        {"mmd": {"scales": [1, -1]}},
        {"dann": {"gamma": 0}},
        {"cdan": {"projection": 0}},
        {"mdd": {"margin": 0}},
        {"deepjdot": {"distance": 0, "labels": 0}},
        {"afn": {"delta": 0}},
        {"pseudo": {"threshold": 1.5}},
        {"shot": {"pseudo": -1}},
    ],
)
def test_an_option_that_makes_no_sense_is_refused(spec: Any) -> None:
    with pytest.raises(RecipeError, match=r"learn\."):
        objective_of(spec)
