"""Meta-learning's gradients, against what they are on paper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from few_shot_steps import (
    EPISODES,
    HEAD,
    classes,
    clouds,
    facts_of,
    gradient_of,
    loss_of,
    numbers,
    small_network,
    step_of,
)
from torch import nn

from transfuse.errors import ModelError, RecipeError
from transfuse.models import load_classifier
from transfuse.objectives import Anil, Fomaml, Maml, Objective, Reptile, Step
from transfuse.objectives.inner_steps import adapt

RATE = 0.07


def line(rows: int = 12, dim: int = 3) -> tuple[Step, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Least squares on a line, support rows first; and with a column of ones for the bias."""
    draw = torch.Generator().manual_seed(4)
    points = torch.randn(rows, dim, generator=draw, dtype=torch.float64)
    targets = torch.randn(rows, generator=draw, dtype=torch.float64)
    support = torch.arange(rows) < rows // 2
    step = step_of(small_network(dim, 1), points, targets, support, numbers())
    ones = torch.ones(rows, 1, dtype=torch.float64)
    return step, torch.cat([points, ones], 1), targets, support


def flat(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([each.flatten() for each in gradients.values()])


def normal_equations(
    points: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hessian and linear term of the mean squared error."""
    return 2 * points.T @ points / len(points), 2 * points.T @ targets / len(points)


@pytest.mark.parametrize("inner", [1, 3])
def test_the_gradient_of_maml_goes_through_the_inner_steps(inner: int) -> None:
    step, points, targets, support = line()
    start = flat({n: p.detach() for n, p in step.network.named_parameters()})
    hessian, linear = normal_equations(points[support], targets[support])
    asked, wanted = normal_equations(points[~support], targets[~support])
    reached = start
    for _ in range(inner):
        reached = reached - RATE * (hessian @ reached - linear)
    first_order = asked @ reached - wanted
    way = torch.linalg.matrix_power(torch.eye(4).double() - RATE * hessian, inner)
    second_order = way.T @ first_order
    options = {"steps": inner, "inner_rate": RATE}
    torch.testing.assert_close(flat(gradient_of(Maml(**options), step)), second_order)
    torch.testing.assert_close(flat(gradient_of(Anil(**options), step)), second_order)
    torch.testing.assert_close(flat(gradient_of(Fomaml(**options), step)), first_order)
    assert (second_order - first_order).abs().max() > 0.01, "they have to differ to tell them apart"
    losses = {loss_of(kind(**options), step).item() for kind in (Maml, Anil, Fomaml)}
    assert max(losses) - min(losses) < 1e-12, "all three ask the same adapted weights"


@pytest.mark.parametrize("kind", [Maml, Anil])
def test_the_gradient_is_that_of_finite_differences(kind: type[Any]) -> None:
    points, targets = clouds(3, 6, 4)
    support = torch.arange(18) % 6 < 3
    network = small_network(5, 3, nn.Sequential(nn.Linear(4, 5), nn.Tanh()))
    objective = kind(steps=2, inner_rate=0.5)
    found = gradient_of(objective, step_of(network, points, targets, support))
    for name, weight in network.named_parameters():
        ends = []
        for shift in (3e-3, -3e-3):
            with torch.no_grad():
                weight.view(-1)[0] += shift
                step = step_of(network, points, targets, support)
            ends.append(loss_of(objective, step).item())
            with torch.no_grad():
                weight.view(-1)[0] -= shift
        assert found[name].view(-1)[0].item() == pytest.approx(
            (ends[0] - ends[1]) / 6e-3, rel=2e-3, abs=2e-4
        ), name


def test_anil_moves_the_head_alone_in_its_inner_steps() -> None:
    points, targets = clouds(2, 4, 3)
    support = torch.arange(8) % 2 == 0
    network = small_network(3, 2, nn.Linear(3, 3))
    step = step_of(network, points, targets, support)
    head = {n: p for n, p in network.named_parameters() if n.startswith("heads")}
    features = network({"points": points}).features.detach()

    def loss(weights: dict[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        matrix, bias = weights.values()
        return nn.functional.cross_entropy(features[rows] @ matrix.T + bias, targets[rows])

    inner = [lambda weights: loss(weights, support)] * 3
    expected = loss(adapt(inner, head, RATE, second_order=False), ~support).item()
    assert loss_of(Anil(inner_rate=RATE), step).item() == pytest.approx(expected, abs=1e-6)
    whole = loss_of(Maml(inner_rate=RATE), step)
    assert abs(whole.item() - expected) > 1e-4, "maml's encoder adapts too"
    assert all(each.abs().max() > 0 for each in gradient_of(Anil(), step).values())


def test_reptile_goes_the_way_that_the_inner_steps_went() -> None:
    step, points, targets, _ = line()
    start = flat({n: p.detach() for n, p in step.network.named_parameters()})
    hessian, linear = normal_equations(points, targets)
    reached = start - RATE * (hessian @ start - linear)
    one = gradient_of(Reptile(steps=1, inner_rate=RATE), step)
    torch.testing.assert_close(flat(one), (start - reached) / RATE)
    # Two parts of an accumulated step, as the loop sums them.
    torch.manual_seed(0)
    ways = [flat(gradient_of(Reptile(steps=3, inner_rate=RATE), step)) for _ in range(2)]
    torch.manual_seed(0)
    step.network.zero_grad()
    for _ in range(2):
        (loss_of(Reptile(steps=3, inner_rate=RATE), step) / 2).backward()
    mean = flat({n: p.grad for n, p in step.network.named_parameters() if p.grad is not None})
    torch.testing.assert_close(mean, (ways[0] + ways[1]) / 2)
    assert not torch.allclose(ways[0], ways[1]), "inner steps share out the rows anew"


@pytest.mark.parametrize("objective", [Maml(), Fomaml(), Anil(), Reptile()], ids=lambda o: o.name)
def test_only_what_trains_adapts_and_the_network_itself_stays(objective: Objective) -> None:
    points, targets = clouds(3, 6, 4)
    network = small_network(4, 3, nn.Linear(4, 4))
    network.encoders.requires_grad_(False)
    before = {name: each.detach().clone() for name, each in network.named_parameters()}
    step = step_of(network, points, targets, torch.arange(18) % 2 == 0)
    gradients = gradient_of(objective, step)
    for name, each in network.named_parameters():
        assert torch.equal(each, before[name]), name
        assert (gradients[name].abs().max() > 0) == name.startswith("heads"), name


def test_classes_keep_their_own_numbers() -> None:
    # Two of four classes in the episode: the inner steps lower the logits of the other two.
    points, labels = clouds(2, 4, 3)
    network = small_network(3, 4)
    step = step_of(network, points, labels * 2 + 1, torch.arange(8) % 2 == 0)
    gradients = gradient_of(Fomaml(steps=1), step)["heads.target.classifier.bias"]
    assert (gradients[[0, 2]] > 0).all()


@pytest.mark.parametrize("kind", ["bert", "distilbert", "gpt2"])
def test_maml_differentiates_an_encoder_twice(kind: str, tiny: Callable[..., Path]) -> None:
    network = load_classifier(tiny(kind), ("a", "b"), task=HEAD, pooling="mean")
    objective = Maml(inner_rate=0.1, steps=2)
    network.encoder.set_attention("sdpa")
    objective.module(network, facts_of(classes(2), torch.tensor([0, 1])))
    assert network.encoder.attention == "eager"
    tokens = network.encoder.preprocess(["good film", "bad book", "so fine", "poor the"])
    batch = network.encoder.collate(tokens)
    batch["targets"] = torch.tensor([0, 1, 0, 1])
    batch["support"] = torch.tensor([True, True, False, False])
    network.train()
    step = Step(network, {EPISODES: batch}, {}, {EPISODES: classes(2)}, 0.0)
    loss_of(objective, step).backward()
    grads = [each.grad for each in network.encoder.parameters() if each.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    assert sum(grad.abs().sum().item() for grad in grads) > 0


def test_maml_says_when_attention_cannot_be_differentiated_twice(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_classifier(tiny("bert"), ("a", "b"), task=HEAD, pooling="mean")
    monkeypatch.setattr(type(network.encoder), "set_attention", lambda self, attention: False)
    with pytest.raises(ModelError, match="fomaml, anil and reptile"):
        Maml().module(network, facts_of(classes(2), torch.tensor([0, 1])))


@pytest.mark.parametrize("kind", [Maml, Fomaml, Anil, Reptile])
def test_meta_learning_needs_classes(kind: type[Any]) -> None:
    with pytest.raises(RecipeError, match="needs classes, the task is regression"):
        kind().module(small_network(3, 1), facts_of(numbers(), torch.zeros(4)))


@pytest.mark.parametrize("kind", [Maml, Fomaml, Anil, Reptile])
def test_impossible_options_are_refused(kind: type[Any]) -> None:
    for wrong in ({"steps": 0}, {"inner_rate": 0.0}, {"shots": 0}, {"ways": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            kind(**wrong)
