"""Each method of adaptation makes smaller what it is about, on two shifted clouds of points."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from adaptation_steps import HEAD, classification, facts_of, small_network, step_of
from torch import nn

from transfuse.models import Network
from transfuse.objectives import OBJECTIVES
from transfuse.objectives.domains import entropies
from transfuse.objectives.kernels import covariance, mean_discrepancy
from transfuse.objectives.mcc import class_confusion
from transfuse.objectives.shot import Bank
from transfuse.recipe import build

STEPS = 150
Measure = Callable[[Network], float]


def clouds(n: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Source points and labels, target points and labels: two classes, turned and moved."""
    draw = torch.Generator().manual_seed(5)
    labels = torch.arange(n) % 2
    centres = torch.tensor([[-1.5, 0.0], [1.5, 0.0]])[labels]
    source = centres + 0.5 * torch.randn(n, 2, generator=draw)
    turn = torch.tensor([[0.77, 0.64], [-0.64, 0.77]])
    target = (centres + 0.5 * torch.randn(n, 2, generator=draw)) @ turn * 1.3 + 0.7
    return source, labels, target, labels


SOURCE, LABELS, TARGET, TRUTH = clouds()


def trained(*specs: Any) -> Network:
    """A small network that learned by some objectives."""
    torch.manual_seed(2)
    network = small_network(8, 2, nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 8)))
    learn = [build(OBJECTIVES, spec, "learn") for spec in specs]
    modules = nn.ModuleList()
    for objective in learn:
        modules.append(objective.module(network, facts_of(classification(2))) or nn.Identity())
    optimizer = torch.optim.Adam([*network.parameters(), *modules.parameters()], lr=0.01)
    points = {"source": SOURCE, "unlabelled": TARGET, "unlabelled/augmented": TARGET + 0.05}
    for done in range(STEPS):
        step = step_of(network, points, LABELS, progress=done / STEPS)
        losses = [
            objective.weight_at(step.progress) * loss
            for objective, module in zip(learn, modules, strict=True)
            for loss in objective.losses(step, module).values()
        ]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def source_only() -> Network:
    return trained("source")


def seen(network: Network, points: torch.Tensor) -> torch.Tensor:
    return network({"points": points}).features


def said(network: Network, points: torch.Tensor) -> torch.Tensor:
    return network({"points": points}).logits[HEAD]


def accuracy(network: Network) -> float:
    return float((said(network, TARGET).argmax(1) == TRUTH).float().mean())


def kernel_distance(network: Network) -> float:
    return float(mean_discrepancy(seen(network, SOURCE), seen(network, TARGET), (0.5, 1.0, 2.0)))


def covariance_distance(network: Network) -> float:
    gap = covariance(seen(network, SOURCE)) - covariance(seen(network, TARGET))
    return float(gap.norm())


def uncertainty(network: Network) -> float:
    return entropies(said(network, TARGET).log_softmax(1)).mean().item()


def confusion(network: Network) -> float:
    return float(class_confusion(said(network, TARGET), 2.5))


def smallness(network: Network) -> float:
    return 1 / float(seen(network, TARGET).norm(dim=1).mean())


@pytest.mark.parametrize(
    ("spec", "measure"),
    [
        ({"mcc": {"weight": 1}}, confusion),
        ({"entropy": {"weight": 0.5}}, uncertainty),
        ({"pseudo": {"threshold": 0.8}}, uncertainty),
        ({"coral": {"weight": 30}}, covariance_distance),
        ({"mmd": {"weight": 1}}, kernel_distance),
        ({"deepjdot": {"weight": 1}}, kernel_distance),
        ({"dann": {"hidden": 16}}, kernel_distance),
        ({"cdan": {"hidden": 16}}, kernel_distance),
        ({"afn": {"weight": 0.5}}, smallness),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_method_makes_smaller_what_it_is_about(
    spec: Any, measure: Measure, source_only: Network
) -> None:
    adapted = trained("source", spec)
    assert measure(adapted) < 0.8 * measure(source_only)
    assert (said(adapted, SOURCE).argmax(1) == LABELS).float().mean() > 0.9


@pytest.mark.parametrize(
    "spec",
    ["mcc", {"coral": {"weight": 30}}, "mmd", "dann", "cdan", "mdd", "deepjdot"],
    ids=str,
)
def test_a_method_finds_classes_that_the_source_alone_misses(
    spec: Any, source_only: Network
) -> None:
    assert accuracy(trained("source", spec)) > accuracy(source_only) + 0.05


def test_a_model_adapts_without_the_source() -> None:
    network = trained({"source": {"smoothing": 0.1}})
    before, unsure = accuracy(network), uncertainty(network)
    network.encoders.requires_grad_(True)
    objective = build(OBJECTIVES, "shot", "learn")
    features, logits = (question.name for question in objective.questions)
    answers = {
        features: seen(network, TARGET).detach().numpy(),
        logits: said(network, TARGET).detach().numpy(),
    }
    facts = facts_of(classification(2), rows=len(TARGET), answers=answers)
    bank = objective.module(network, {"unlabelled": facts["unlabelled"]})
    assert isinstance(bank, Bank)
    optimizer = torch.optim.Adam(network.encoders.parameters(), lr=0.01)
    for _ in range(60):
        step = step_of(network, {"unlabelled": TARGET})
        optimizer.zero_grad()
        objective.losses(step, bank)["shot"].backward()
        optimizer.step()
    network.requires_grad_(False)
    assert uncertainty(network) < 0.5 * unsure
    assert accuracy(network) > before + 0.05
