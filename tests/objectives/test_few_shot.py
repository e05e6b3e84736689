"""Nearest centroids, prototypes, contrastive pairs and the heads that they end with."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from few_shot_steps import (
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
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from transfuse.errors import ModelError, RecipeError
from transfuse.models import Head
from transfuse.objectives import Centroid, Objective, Pairs, Proto
from transfuse.objectives.logistic import PENALTIES, choose_penalty, fit_logistic

TWO = torch.float64


def finished(
    objective: Objective, points: torch.Tensor, targets: torch.Tensor, count: int, parts: int = 2
) -> nn.Linear:
    """The head that an objective leaves over points as they are."""
    network = small_network(points.shape[1], count).eval()
    batches = [
        {"points": some, "targets": few}
        for some, few in zip(points.chunk(parts), targets.chunk(parts), strict=True)
    ]
    objective.finish(network, {HEAD: iter(batches)})
    head = network.heads[HEAD]
    assert isinstance(head, Head)
    assert head.linear is not None
    return head.linear


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@given(
    count=st.integers(2, 5),
    dim=st.integers(2, 6),
    rows=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
def test_the_centroid_head_decides_for_the_nearest_mean(
    distance: Any, count: int, dim: int, rows: int, seed: int
) -> None:
    points, targets = clouds(count, rows, dim, spread=1.0, seed=seed)
    head = finished(Centroid(distance=distance), points, targets, count)
    queries = torch.randn(40, dim, generator=torch.Generator().manual_seed(seed), dtype=TWO)
    if distance == "euclidean":
        means = torch.stack([points[targets == label].mean(0) for label in range(count)])
        nearness = -torch.cdist(queries, means)
    else:
        units = nn.functional.normalize(points, dim=1)
        means = torch.stack([units[targets == label].mean(0) for label in range(count)])
        nearness = nn.functional.cosine_similarity(queries[:, None], means[None], dim=2)
    best = nearness.topk(2).values
    clear = best[:, 0] - best[:, 1] > 1e-6
    assert torch.equal(head(queries).argmax(1)[clear], nearness.argmax(1)[clear])


def test_the_logits_of_centroids_are_distances_up_to_a_constant_of_the_row() -> None:
    points, targets = clouds(3, 4, 5)
    head = finished(Centroid(scale=0.5), points, targets, 3)
    means = torch.stack([points[targets == label].mean(0) for label in range(3)])
    queries = torch.randn(7, 5, dtype=TWO)
    rest = head(queries) + 0.5 * torch.cdist(queries, means).square()
    torch.testing.assert_close(rest, rest[:, :1].expand(-1, 3))


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_scale_of_centroids_makes_probabilities_fit(distance: Any) -> None:
    losses = {}
    points, targets = clouds(4, 8, 10, spread=1.2, seed=3)
    others, truth = clouds(4, 200, 10, spread=1.2, seed=3)
    for scale in (None, 1e-3, 1e3):
        head = finished(Centroid(distance=distance, scale=scale), points, targets, 4)
        losses[scale] = nn.functional.cross_entropy(head(others), truth).item()
    assert losses[None] < min(losses[1e-3], losses[1e3])
    assert losses[None] < math.log(4)


def test_a_class_without_rows_is_never_chosen_and_gives_no_nan() -> None:
    points, labels = clouds(2, 3, 4)
    for objective in (Centroid(), Centroid(distance="cosine"), Pairs()):
        head = finished(objective, points, labels * 2, 3)
        assert head.weight.isfinite().all()
        assert not (head(torch.randn(50, 4, dtype=TWO)).argmax(1) == 1).any()
    # One row of each class is enough for a mean.
    one = finished(Centroid(), points[::3], labels[::3], 2, parts=1)
    assert torch.equal(one(points[::3]).argmax(1), labels[::3])


def test_the_centroid_loss_is_zero_and_its_backward_pass_works() -> None:
    points, targets = clouds(2, 3, 4)
    step = step_of(small_network(4, 2), points, targets, stream="target")
    assert loss_of(Centroid(), step).item() == 0
    assert all((each == 0).all() for each in gradient_of(Centroid(), step).values())
    assert Centroid().convex


def test_the_prototypical_loss_by_hand() -> None:
    # Means (0, 0) and (4, 0); the queries (1, 0) and (4, 3) have squared distances 1, 9 and 25, 9.
    points = torch.tensor([[-1, 0], [1, 0], [4, -1], [4, 1], [1, 0], [4, 3]], dtype=TWO)
    targets = torch.tensor([5, 5, 2, 2, 5, 2])
    support = torch.arange(6) < 4
    step = step_of(small_network(2, 7), points, targets, support)
    expected = (math.log1p(math.exp(-8)) + math.log1p(math.exp(-16))) / 2
    assert loss_of(Proto(), step).item() == pytest.approx(expected, rel=1e-5)
    softened = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-4))) / 2
    assert loss_of(Proto(temperature=4), step).item() == pytest.approx(softened, rel=1e-5)
    # Mean directions: (0, 0) has none, (1, 0) is that of class 2.
    shifted = step_of(small_network(2, 7), points + torch.tensor([0.0, 5.0]), targets, support)
    units = nn.functional.normalize(points + torch.tensor([0.0, 5.0]), dim=1)
    means = torch.stack([units[2:4].mean(0), units[:2].mean(0)])
    cosines = units[4:] @ nn.functional.normalize(means, dim=1).T
    wanted = nn.functional.cross_entropy(cosines / 0.1, torch.tensor([1, 0]))
    got = loss_of(Proto(distance="cosine"), shifted)
    torch.testing.assert_close(got.double(), wanted, atol=1e-5, rtol=1e-5)


def test_prototypes_of_the_source_leave_the_head_of_the_target_alone() -> None:
    network = small_network(4, 2)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    Proto(stream="source").finish(network, {"source": iter([])})
    Proto(head="trained").finish(network, {HEAD: iter([])})
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert Proto(stream="source").streams == ("source/episodes",)


LOSSES = ["contrastive", "cosine", "multi_similarity"]


@pytest.mark.parametrize("loss", LOSSES)
def test_separated_classes_cost_less(loss: Any) -> None:
    labels = torch.arange(3).repeat_interleave(4)
    apart = torch.eye(3, dtype=TWO)[labels]
    mixed = torch.eye(3, dtype=TWO)[torch.arange(12) % 3]
    same = torch.ones(12, 3, dtype=TWO)
    cost = {
        name: loss_of(Pairs(loss=loss), step_of(small_network(3, 3), each, labels)).item()
        for name, each in (("apart", apart), ("mixed", mixed), ("same", same))
    }
    assert cost["apart"] < min(cost["mixed"], cost["same"])


def test_the_losses_of_pairs_by_hand() -> None:
    # Cosines: the two of class 0 are 0.6, all others 0 or 0.8.
    points = torch.tensor([[1, 0], [0.6, 0.8], [0, 2]], dtype=TWO)
    step = step_of(small_network(2, 2), points, torch.tensor([0, 0, 1]))
    got = {loss: loss_of(Pairs(loss=loss, temperature=0.5), step).item() for loss in LOSSES}
    of_first = math.log(math.exp(1.2) + 1) - 1.2
    of_second = math.log(math.exp(1.2) + math.exp(1.6)) - 1.2
    assert got["contrastive"] == pytest.approx((of_first + of_second) / 2, rel=1e-5)
    assert got["cosine"] == pytest.approx((0.16 + (0 + 0.64) / 2) / 2, rel=1e-5)
    near = math.log1p(math.exp(-0.2)) / 2
    far = [math.log1p(math.exp(50 * (each - 0.5))) / 50 for each in (0.0, 0.8)]
    last = math.log(1 + math.exp(-25) + math.exp(15)) / 50
    assert got["multi_similarity"] == pytest.approx((2 * near + sum(far) + last) / 3, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_a_class_mate_give_no_nan(loss: Any) -> None:
    points, targets = clouds(4, 1, 3)
    network = small_network(3, 4, nn.Linear(3, 3))
    gradients = gradient_of(Pairs(loss=loss), step_of(network, points, targets))
    assert all(each.isfinite().all() for each in gradients.values())


def test_each_row_of_a_batch_is_encoded_once_however_many_pairs_it_is_in() -> None:
    seen = []

    class Counting(nn.Linear):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            seen.append(len(points))
            return super().forward(points)

    points, targets = clouds(4, 6, 3)
    step = step_of(small_network(3, 4, Counting(3, 3)), points, targets)
    loss_of(Pairs(), step)
    assert seen == [24], "24 rows, 276 pairs"
    assert Pairs(ways=3, shots=5).episodes.queries == 0


@pytest.mark.parametrize("objective", [Pairs(), Proto(queries=3, shots=3)], ids=["pairs", "proto"])
def test_learning_pulls_classes_apart(objective: Objective) -> None:
    torch.manual_seed(0)
    points, targets = clouds(4, 6, 8, spread=1.5, seed=2)
    network = small_network(8, 4, nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8)))
    support = torch.arange(24) % 6 < 3
    optimizer = torch.optim.Adam(network.encoders.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(objective, step_of(network, points, targets, support))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    batches = {HEAD: iter([{"points": points, "targets": targets}])}
    objective.finish(network.eval(), batches)
    right = network({"points": points}).logits[HEAD].argmax(1) == targets
    assert right.double().mean() > 0.9


@pytest.mark.parametrize("kind", [Centroid, Proto, Pairs])
def test_what_needs_classes_or_a_linear_head_says_so(kind: type[Any]) -> None:
    with pytest.raises(RecipeError, match="needs classes, the task is regression"):
        kind().module(small_network(3, 1), facts_of(numbers(), torch.zeros(4)))

    class Deep(Head):
        outputs, labels, problem_type = 2, None, None

        def forward(self, encoded: Any, batch: Any) -> torch.Tensor:
            return encoded.pooled[:, :2]

        @property
        def linear(self) -> None:
            return None

        def reset(self, seed: int) -> None:
            return

    network = small_network(3, 2)
    network.heads[HEAD] = Deep()
    with pytest.raises(ModelError, match="pooling: mean"):
        kind().module(network, facts_of(classes(2), torch.tensor([0, 1])))


@given(
    rows=st.integers(8, 40),
    dim=st.integers(1, 6),
    count=st.integers(2, 4),
    penalty=st.sampled_from(PENALTIES[:3]),
    seed=st.integers(0, 1000),
)
def test_logistic_regression_is_that_of_scikit_learn(
    rows: int, dim: int, count: int, penalty: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    targets = np.arange(rows) % count
    features = draw.normal(size=(rows, dim)) + targets[:, None] + 3
    found = fit_logistic(features, targets, count, penalty)
    scale = np.square(features - features.mean(0)).sum(1).mean()
    # Its C counts the sum of losses; of two classes it fits one row where we fit two.
    strength = penalty * scale * rows * (1 if count > 2 else 0.5)
    peer = LogisticRegression(C=1 / strength, tol=1e-9, max_iter=5000).fit(features, targets)
    logits = features @ found[:, :-1].T + found[:, -1]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        shares / shares.sum(1, keepdims=True), peer.predict_proba(features), atol=2e-3
    )


def test_the_head_of_pairs_reads_directions() -> None:
    points, targets = clouds(3, 6, 5, spread=0.8, seed=1)
    head = finished(Pairs(penalty=1e-3), points, targets, 3)
    lengths = torch.rand(18, 1, dtype=TWO) + 0.1
    again = finished(Pairs(penalty=1e-3), points * lengths, targets, 3)
    assert (head.bias == 0).all()
    ratio = again.weight / head.weight
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio), atol=1e-3, rtol=1e-3)


def test_the_penalty_follows_the_noise() -> None:
    draw = np.random.default_rng(0)
    targets = np.arange(60) % 2
    clear = draw.normal(size=(60, 20)) + 4 * targets[:, None]
    noise = draw.normal(size=(60, 20))
    assert choose_penalty(clear, targets, 2) < choose_penalty(noise, targets, 2)
    assert choose_penalty(noise, targets, 2) == PENALTIES[0]
    assert choose_penalty(clear[:2], targets[:2], 2) in (1e-2, *PENALTIES)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Centroid, {"scale": 0.0}),
        (Proto, {"queries": 0}),
        (Proto, {"temperature": 0.0}),
        (Proto, {"ways": 1}),
        (Pairs, {"temperature": 0.0}),
        (Pairs, {"penalty": 0.0}),
        (Pairs, {"shots": 0}),
    ],
)
def test_impossible_options_of_few_shot_methods_are_refused(
    kind: type[Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)
