"""Adaptation without the source's rows: SHOT, and AdaBN's statistics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adaptation_steps import (
    HEAD,
    Points,
    classification,
    facts_of,
    small_network,
    step_of,
    three_streams,
)
from torch import nn

from transfuse.errors import RecipeError
from transfuse.models import Network, load_classifier
from transfuse.objectives import OBJECTIVES, Objective, Step
from transfuse.objectives.domains import input_dim
from transfuse.objectives.shot import Bank, centroid_labels
from transfuse.recipe import build


def objective_of(spec: Any) -> Objective:
    return build(OBJECTIVES, spec, "learn")


def shot_of(network: Network, points: torch.Tensor, spec: Any = "shot") -> tuple[Objective, Bank]:
    objective = objective_of(spec)
    with torch.no_grad():
        said = network({"points": points})
    features, logits = (question.name for question in objective.questions)
    answers = {features: said.features.numpy(), logits: said.logits[HEAD].numpy()}
    module = objective.module(network, facts_of(rows=len(points), answers=answers))
    assert isinstance(module, Bank)
    return objective, module


def test_shot_leaves_the_head_where_it_was_and_moves_the_encoder() -> None:
    network, points = small_network(), three_streams()["unlabelled"]
    objective, bank = shot_of(network, points)
    before = {key: each.detach().clone() for key, each in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        objective.losses(step_of(network, {"unlabelled": points}), bank)["shot"].backward()
        optimizer.step()
        optimizer.zero_grad()
    for key, each in network.named_parameters():
        assert torch.equal(before[key], each) == key.startswith("heads"), key


def test_shot_reads_the_unlabelled_rows_alone() -> None:
    assert objective_of("shot").streams == ("unlabelled",)
    assert all(question.teacher is None for question in objective_of("shot").questions)


def test_shot_is_information_maximisation_and_the_labels_of_centroids() -> None:
    network, points = small_network(), three_streams()["unlabelled"]
    objective, bank = shot_of(network, points, {"shot": {"pseudo": 0.7}})
    step = step_of(network, {"unlabelled": points})
    logits = step.outputs["unlabelled"].logits[HEAD].detach()
    shares = logits.double().softmax(1).numpy()
    sure = -(shares * np.log(shares)).sum(1).mean()
    varied = -(shares.mean(0) * np.log(shares.mean(0))).sum()
    wrong = nn.functional.cross_entropy(logits, bank.get_buffer("labels"))
    loss = objective.losses(step, bank)["shot"]
    assert loss.item() == pytest.approx(sure - varied + 0.7 * wrong.item(), rel=1e-4)


def test_one_class_for_all_is_worse_than_varied_certainty() -> None:
    network = small_network(3, body=nn.Identity())
    with torch.no_grad():
        network.heads[HEAD].classifier.weight.copy_(torch.eye(3))
    same, varied = torch.tensor([[30.0, 0, 0]] * 3), 30 * torch.eye(3)
    losses = []
    for points in (same, varied):
        objective, bank = shot_of(network, points)
        losses.append(
            objective.losses(step_of(network, {"unlabelled": points}), bank)["shot"].item()
        )
    assert losses[0] > losses[1] + 1


def test_a_row_among_the_others_of_another_class_gets_their_label() -> None:
    features = torch.tensor([[5.0, 0.1], [4.0, 0.0], [3.0, 0.2], [0.0, 5.0], [0.1, 4.0]])
    shares = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]])
    assert centroid_labels(features, shares).tolist() == [0, 0, 0, 1, 1]


def test_a_class_that_no_row_is_of_is_no_label() -> None:
    features = torch.randn(6, 3)
    shares = torch.tensor([[0.6, 0.3, 0.1]] * 3 + [[0.3, 0.6, 0.1]] * 3)
    assert 2 not in centroid_labels(features, shares)


def test_collapsed_features_still_get_a_label() -> None:
    labels = centroid_labels(torch.zeros(4, 3), torch.eye(4)[:, :3] + 0.1)
    assert ((labels >= 0) & (labels < 3)).all()


def test_labels_are_made_anew_after_each_pass() -> None:
    bank = Bank(torch.eye(4), torch.eye(4))
    assert bank.get_buffer("labels").tolist() == [0, 1, 2, 3]
    swapped = torch.eye(4).flip(0)
    bank.update(torch.tensor([0, 1]), swapped[:2], torch.eye(4)[:2])
    assert bank.get_buffer("labels").tolist() == [0, 1, 2, 3]
    bank.update(torch.tensor([2, 3]), torch.eye(4)[2:], swapped[2:])
    assert (
        bank.get_buffer("labels").tolist()
        == centroid_labels(bank.get_buffer("features"), bank.get_buffer("shares")).tolist()
    )
    assert int(bank.get_buffer("since")) == 0


def test_a_bank_resumes_with_the_network() -> None:
    bank, other = (Bank(torch.randn(5, 3), torch.rand(5, 2)) for _ in range(2))
    bank.update(torch.tensor([1]), torch.ones(1, 3), torch.ones(1, 2))
    other.load_state_dict(bank.state_dict())
    assert other.state_dict().keys() == {"features", "shares", "labels", "since"}
    assert int(other.get_buffer("since")) == 1


def test_a_frozen_encoder_leaves_shot_nothing_to_do() -> None:
    network, points = small_network(), three_streams()["unlabelled"]
    network.encoders.requires_grad_(False)
    objective, bank = shot_of(network, points)
    objective.losses(step_of(network, {"unlabelled": points}), bank)["shot"].backward()
    assert all(not each.grad.any() for each in network.heads.parameters())


def test_shot_is_refused_where_processes_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = small_network(), three_streams()["unlabelled"]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RecipeError, match="shot remembers every row, and 2 processes"):
        shot_of(network, points)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_head_of_the_architecture_s_own_is_held_as_well(
    kind: str, tiny: Callable[..., Path]
) -> None:
    network = load_classifier(tiny(kind), ("a", "b", "c"), task=HEAD, pooling="native").eval()
    batch = network.encoder.probe_batch()
    assert input_dim(network, HEAD) == 32
    said = network(batch)
    rows = len(said.features)
    objective = objective_of("shot")
    answers = {
        question.name: np.zeros((rows, width), np.float32)
        for question, width in zip(objective.questions, (32, 3), strict=True)
    }
    bank = objective.module(network, facts_of(rows=rows, answers=answers))
    batches = {"unlabelled": batch | {"rows": torch.arange(rows)}}
    step = Step(network, batches, {"unlabelled": said}, {"unlabelled": classification()}, 0.5)
    objective.losses(step, bank)["shot"].backward()
    assert isinstance(bank, Bank)
    torch.testing.assert_close(bank.get_buffer("shares"), said.logits[HEAD].detach().softmax(1))
    assert all(weight.grad is None for weight in network.heads.parameters())
    assert any(weight.grad is not None for weight in network.encoders.parameters())


# Batch normalisation


def normalised_network() -> Network:
    body = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4), nn.BatchNorm1d(4)
    )
    return small_network(body=body).eval()


def batches_of(points: torch.Tensor, sizes: list[int]) -> dict[str, Any]:
    return {"unlabelled": [{"points": each} for each in points.split(sizes)]}


def test_statistics_become_the_target_s_and_nothing_else_moves() -> None:
    network, points = normalised_network(), three_streams(m=20)["unlabelled"] * 3 + 5
    before = {key: each.clone() for key, each in network.state_dict().items()}
    objective = objective_of("ada_bn")
    assert objective.module(network, facts_of()) is None
    # Batches of unequal size: the statistics are those of all rows, not a mean of means.
    objective.finish(network, batches_of(points, [11, 2, 7]))
    body = network.encoders["points"].body
    entering = body[0](points).detach()
    torch.testing.assert_close(body[1].running_mean, entering.mean(0))
    torch.testing.assert_close(body[1].running_var, entering.var(0))
    moved = {
        key for key, each in network.state_dict().items() if not torch.equal(before[key], each)
    }
    assert moved == {
        f"encoders.points.body.{layer}.running_{what}"
        for layer in (1, 4)
        for what in ("mean", "var")
    }
    assert not any(part.training for part in network.modules())
    assert all(layer.track_running_stats for layer in (body[1], body[4]))


def test_afterwards_the_target_comes_out_normalised() -> None:
    network, points = normalised_network(), three_streams(m=64)["unlabelled"] * 3 + 5
    objective_of("ada_bn").finish(network, batches_of(points, [64]))
    with torch.no_grad():
        features = network({"points": points}).features
    torch.testing.assert_close(features.mean(0), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(features.std(0), torch.ones(4), atol=0.1, rtol=0)


def test_a_single_row_at_the_end_is_left_out() -> None:
    network, points = normalised_network(), three_streams(m=5)["unlabelled"]
    objective_of("ada_bn").finish(network, batches_of(points, [4, 1]))
    body = network.encoders["points"].body
    torch.testing.assert_close(body[1].running_mean, body[0](points[:4]).detach().mean(0))


def test_convolutions_are_measured_by_channel() -> None:
    class Pixels(Points):
        def forward(self, batch: dict[str, torch.Tensor], from_layer: int = 0) -> Any:
            encoded = super().forward(batch)
            encoded.pooled = encoded.pooled.mean((2, 3))
            return encoded

    network = small_network(3)
    network.encoders["points"] = Pixels(nn.Sequential(nn.BatchNorm2d(3))).eval()
    points = torch.randn(6, 3, 4, 4) * 2 + 1
    objective_of("ada_bn").finish(network, batches_of(points, [4, 2]))
    layer = network.encoders["points"].body[0]
    torch.testing.assert_close(layer.running_mean, points.mean((0, 2, 3)))
    torch.testing.assert_close(layer.running_var, points.transpose(0, 1).flatten(1).var(1))


def test_its_loss_is_0_and_can_be_differentiated() -> None:
    network = normalised_network()
    step = step_of(network, three_streams())
    loss = objective_of("ada_bn").losses(step, None)["ada_bn"]
    loss.backward()
    assert loss.item() == 0


def test_a_network_without_batch_normalisation_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"ada_bn re-estimates batch normalisation.*has none"):
        objective_of("ada_bn").module(small_network(), facts_of())
