"""The exact solution of a probe, whatever the mean and the size of its features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from transfuse.models import LinearHead, Network
from transfuse.objectives import StreamTask, Target
from transfuse.tasks import Classification
from transfuse.training.solver import solve
from transfuse.training.step import TrainModule

ROWS, DIM = 90, 5
TASK = Classification(labels=("a", "b", "c"))


def probe(seed: int = 0) -> TrainModule:
    head = LinearHead(DIM, 3, seed=seed, labels=TASK.labels)
    network = Network({"text": nn.Identity()}, {"target": head})  # type: ignore[dict-item]
    return TrainModule(network, [Target()], {"target": StreamTask(TASK, "target")}, {})


def rows(mean: float, size: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(ROWS) % 3
    features = torch.randn(ROWS, DIM, generator=generator)
    features[torch.arange(ROWS), targets] += 1.0
    return mean + size * features, targets


@pytest.mark.parametrize(("mean", "size"), [(0.0, 1.0), (20.0, 1.0), (0.0, 1e-4), (3.0, 100.0)])
def test_the_solution_is_that_of_the_features_as_they_are(mean: float, size: float) -> None:
    features, targets = rows(mean, size)
    module, penalty = probe(), 1e-3
    head = module.network.heads["target"]
    solve(
        module, {"target": {"pooled": features, "targets": targets}}, [*head.parameters()], penalty
    )
    scale = float(features.square().sum(1).mean())
    exact = LogisticRegression(C=1 / (ROWS * penalty * scale), tol=1e-10, max_iter=100_000)
    wide = features.double().numpy()
    # Centred for scikit-learn's own sake: its intercept is not penalised either.
    exact.fit(wide - wide.mean(0), targets.numpy())
    wanted = exact.predict_proba(wide - wide.mean(0))
    with torch.no_grad():
        found = module.network({"pooled": features}).logits["target"].double().softmax(-1).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_a_warm_start_begins_where_the_weights_are() -> None:
    features, targets = rows(20.0, 1.0)
    batches = {"target": {"pooled": features, "targets": targets}}
    module = probe()
    weights = [*module.network.heads["target"].parameters()]
    value = solve(module, batches, weights, 1e-3)
    before = [weight.detach().clone() for weight in weights]
    assert solve(module, batches, weights, 1e-3, warm=True) == pytest.approx(value, rel=1e-4)
    for old, new in zip(before, weights, strict=True):
        torch.testing.assert_close(old, new.detach(), atol=1e-2, rtol=1e-2)
