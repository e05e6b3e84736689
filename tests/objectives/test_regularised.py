"""Regularised fine-tuning: what each paper's formula promises."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regularised_steps import HEAD, Fixed, facts_of, step_of, task_of
from scipy.special import softmax

from transfuse.errors import RecipeError
from transfuse.models import LinearHead, load_classifier
from transfuse.objectives import StreamTask
from transfuse.objectives.bss import BSS
from transfuse.objectives.co_tuning import CoTuning, relationship, source_head
from transfuse.objectives.delta import Delta, channel_weights
from transfuse.objectives.mixup import Mixup
from transfuse.objectives.r_drop import RDrop
from transfuse.objectives.supcon import SupCon, supervised_contrast
from transfuse.tasks import Regression


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# DELTA


def test_an_encoder_that_has_not_moved_costs_nothing() -> None:
    tokens, mask = draw(1, 3, 4, 5), torch.ones(3, 4)
    objective = Delta()
    name = objective.questions[0].name
    for moved, expected in ((0.0, 0.0), (2.0, 4.0)):
        step = step_of(
            features=draw(2, 3, 5), tokens=tokens + moved, mask=mask, batch={name: tokens}
        )
        loss = objective.losses(step, None)["delta"]
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_channels_that_the_labels_need_count_more() -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    features = rng.normal(size=(60, 5))
    features[:, 2] += 6.0 * targets
    found = channel_weights(features, targets, 3)
    assert found.mean() == pytest.approx(1)
    assert found.argmax() == 2
    assert found[2] > 2 * np.delete(found, 2).max()


def test_weighed_channels_are_in_the_loss() -> None:
    objective = Delta(of="features", attention=True)
    (question,) = objective.questions
    start = draw(1, 12, 3)
    targets = np.arange(12) % 2
    known = {"targets": targets, "answers": {question.name: start.numpy()}}
    module = objective.module(Fixed(3), facts_of(task_of(2), **known))  # type: ignore[arg-type]
    weights = channel_weights(start.double().numpy(), targets, 2)
    step = step_of(features=start + torch.tensor([1.0, 0, 0]), batch={question.name: start})
    loss = float(objective.losses(step, module)["delta"])
    assert loss == pytest.approx(weights[0] / 3, rel=1e-4)


def test_a_pooler_makes_channels_of_tokens_and_rows_different_things(tiny: Any) -> None:
    network = load_classifier(tiny("bert"), ("0", "1"), task=HEAD, pooling="native")
    with pytest.raises(RecipeError, match="pooler"):
        Delta(attention=True).module(network, facts_of(task_of(2), targets=np.arange(8) % 2))


# BSS


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 10), st.integers(0, 1000))
def test_the_smallest_singular_values_are_those_of_the_gram_matrix(
    rows: int, width: int, k: int, seed: int
) -> None:
    features = draw(seed, rows, width)
    values = torch.linalg.eigvalsh(features.double() @ features.double().T)
    values = values.flip(0)[: min(rows, width)].flip(0)  # the rest are 0 by shape
    loss = BSS(k=k).losses(step_of(features=features), None)["bss"]
    torch.testing.assert_close(loss.double(), values[:k].sum(), atol=1e-4, rtol=1e-4)


def test_equal_singular_values_send_finite_gradients() -> None:
    for features in (torch.eye(4), torch.zeros(4, 3), torch.ones(3, 5)):
        features = features.clone().requires_grad_()
        BSS(k=2).losses(step_of(features=features), None)["bss"].backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_features_that_are_not_finite_stay_so() -> None:
    broken = torch.full((3, 2), math.nan)
    assert BSS().losses(step_of(features=broken), None)["bss"].isnan()


# R-Drop


@given(st.integers(0, 1000), st.floats(-5, 5))
def test_equal_answers_have_no_divergence_and_the_order_does_not_matter(
    seed: int, shift: float
) -> None:
    one, other = draw(seed, 4, 3), draw(seed + 1, 4, 3)
    objective = RDrop()

    def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return objective.losses(step_of(first, again=second), None)["r_drop"]

    assert abs(float(loss(one, one + shift))) < 1e-5
    torch.testing.assert_close(loss(one, other), loss(other, one))
    p, q = one.softmax(-1), other.softmax(-1)
    torch.testing.assert_close(loss(one, other), ((p - q) * (p / q).log()).sum() / 2 / 4)


# Mixup


def mixup_step(rows: int = 6, classes: int = 3) -> Any:
    head = LinearHead(4, classes, seed=1)
    with torch.no_grad():
        head.classifier.weight.mul_(30)
    features = draw(1, rows, 4)
    batch = {"targets": torch.arange(rows) % classes}
    return step_of(features=features, batch=batch, network=Fixed(4, head), task=task_of(classes))


def plain_loss(step: Any) -> torch.Tensor:
    logits = step.network.heads[HEAD].classifier(step.outputs["target"].features)
    return torch.nn.functional.cross_entropy(logits, step.batches["target"]["targets"])


def test_a_row_mixed_with_nothing_or_with_itself_has_the_plain_loss() -> None:
    step = mixup_step()
    whole, half = torch.tensor(1.0), torch.tensor(0.5)
    there = torch.arange(6)
    objective = Mixup()
    torch.testing.assert_close(objective.mixed_loss(step, there.flip(0), whole), plain_loss(step))
    torch.testing.assert_close(objective.mixed_loss(step, there, half), plain_loss(step))
    assert not torch.isclose(objective.mixed_loss(step, there.flip(0), half), plain_loss(step))


def test_a_mixture_is_that_of_its_formula() -> None:
    step = mixup_step(rows=2, classes=2)
    share, swapped = torch.tensor(0.7), torch.tensor([1, 0])
    features = step.outputs["target"].features
    mixed = 0.7 * features + 0.3 * features.flip(0)
    logs = step.network.heads[HEAD].classifier(mixed).log_softmax(-1)
    expected = -(0.7 * (logs[0, 0] + logs[1, 1]) + 0.3 * (logs[0, 1] + logs[1, 0])) / 2
    torch.testing.assert_close(Mixup().mixed_loss(step, swapped, share), expected)


def test_mixtures_are_drawn_anew_and_the_same_from_the_same_seed() -> None:
    step, found = mixup_step(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(float(Mixup().losses(step, None)["mixup"].detach()))
    assert found[0] == found[1] != found[2]


def test_mixup_wants_a_head_on_one_vector(tiny: Any) -> None:
    facts = facts_of(task_of(2))
    for kind, pooling in (("bert", "mean"), ("bert", "native")):
        network = load_classifier(tiny(kind), ("0", "1"), task=HEAD, pooling=pooling)
        Mixup().module(network, facts)
    network = load_classifier(tiny("bert"), ("0", "1"), task=HEAD, pooling="native")
    network.heads[HEAD] = _Tokens()
    with pytest.raises(RecipeError, match="one vector a row"):
        Mixup().module(network, facts)


class _Tokens(LinearHead):
    """A head that reads the last two tokens."""

    def __init__(self) -> None:
        super().__init__(32, 2)

    @property
    def linear(self) -> None:
        return None

    def forward(self, encoded: Any, batch: Any) -> torch.Tensor:
        if encoded.tokens is None:
            return super().forward(encoded, batch)
        logits: torch.Tensor = self.classifier(encoded.tokens[:, -2:].mean(1))
        return logits


# Co-Tuning


@given(st.integers(2, 4), st.integers(2, 5), st.integers(4, 12), st.integers(0, 500), st.booleans())
def test_every_row_of_a_relationship_sums_to_one(
    classes: int, sources: int, rows: int, seed: int, reverse: bool
) -> None:
    rng = np.random.default_rng(seed)
    shares = softmax(rng.normal(size=(rows, sources)), axis=1)
    # The last class has no rows.
    found = relationship(shares, np.arange(rows) % (classes - 1), classes, reverse=reverse)
    assert found.shape == (classes, sources)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found >= 0).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_relationship_finds_the_class_that_is_meant(reverse: bool) -> None:
    targets = np.arange(40) % 2
    shares = np.full((40, 3), 0.05)
    shares[np.arange(40), np.where(targets == 0, 2, 0)] = 0.9
    found = relationship(shares, targets, 2, reverse=reverse)
    assert found.argmax(1).tolist() == [2, 0]
    if not reverse:
        np.testing.assert_allclose(found, [[0.05, 0.05, 0.9], [0.9, 0.05, 0.05]])


def test_the_source_head_is_the_teachers_where_the_vectors_are() -> None:
    rng = np.random.default_rng(0)
    features, weight = rng.normal(size=(200, 4)), rng.normal(size=(3, 4))
    head = source_head(features, features @ weight.T + 0.5)
    np.testing.assert_allclose(head.weight.detach().numpy(), weight, rtol=0.01, atol=0.01)
    np.testing.assert_allclose(head.bias.detach().numpy(), 0.5, atol=0.01)


def co_tuned(objective: CoTuning, logits: np.ndarray, features: torch.Tensor, **source: Any) -> Any:
    targets = np.arange(len(logits)) % 2
    names = [question.name for question in objective.questions]
    answers = {names[0]: logits, names[1]: features.numpy()}
    facts = facts_of(task_of(2), targets=targets, answers=answers)
    facts["source"] = facts_of(task_of(2), **source)["source"]
    module = objective.module(Fixed(4), facts)  # type: ignore[arg-type]
    step = step_of(features=features, batch={"targets": torch.from_numpy(targets)})
    return objective.losses(step, module)["co_tuning"], module


def test_co_tuning_is_a_cross_entropy_with_the_relationship() -> None:
    features, logits = draw(1, 8, 4), draw(2, 8, 3).numpy()
    loss, module = co_tuned(CoTuning("t", temperature=2.0), logits, features)
    relation = relationship(softmax(logits.astype(np.float64) / 2, axis=1), np.arange(8) % 2, 2)
    np.testing.assert_allclose(module.relation.numpy(), relation, rtol=1e-5)
    logs = module.head(features).log_softmax(-1)
    expected = -(torch.from_numpy(relation).float()[torch.arange(8) % 2] * logs).sum(-1).mean()
    torch.testing.assert_close(loss, expected)
    assert [name for name, _ in module.named_parameters()] == ["head.weight", "head.bias"]


def test_the_temperature_is_that_of_the_sources_rows() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 2))
    targets = (rng.random((4000, 1)) < softmax(scores, axis=1).cumsum(1)).argmax(1)
    objective = CoTuning("t", calibrate=True)
    assert objective.streams == ("target", "source")
    # The logits claim four times what holds.
    known = {"targets": targets, "answers": {objective.questions[2].name: 4 * scores}}
    features, logits = draw(1, 8, 4), draw(2, 8, 3).numpy()
    _, fitted = co_tuned(objective, logits, features, **known)
    _, given = co_tuned(CoTuning("t", temperature=4.0), logits, features)
    torch.testing.assert_close(fitted.relation, given.relation, atol=0.02, rtol=0.1)


# Supervised contrast


def test_supervised_contrast_on_three_rows_by_hand() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    targets = torch.tensor([0, 0, 1])
    # Cosines: rows 0 and 1: 0.6, rows 0 and 2: 0, rows 1 and 2: 0.8; row 2 has no mate.
    first = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(0.0)))
    second = -math.log(math.exp(1.2) / (math.exp(1.2) + math.exp(1.6)))
    loss = float(supervised_contrast(vectors, targets, 0.5))
    assert loss == pytest.approx((first + second) / 2, rel=1e-5)


def test_two_mates_count_as_the_mean_of_their_logarithms() -> None:
    vectors, targets = draw(1, 4, 5), torch.tensor([0, 0, 0, 1])
    directions = torch.nn.functional.normalize(vectors, dim=1)
    scores = directions @ directions.T / 0.3
    expected = []
    for row in range(3):
        others = [other for other in range(4) if other != row]
        total = torch.logsumexp(scores[row, others], 0)
        expected.append(sum(total - scores[row, m] for m in range(3) if m != row) / 2)
    torch.testing.assert_close(
        supervised_contrast(vectors, targets, 0.3), torch.stack(expected).mean()
    )


def test_without_mates_the_contrast_is_zero_and_has_finite_gradients() -> None:
    for rows in (1, 3):
        vectors = draw(1, rows, 4).requires_grad_()
        loss = supervised_contrast(vectors, torch.arange(rows), 0.1)
        loss.backward()
        assert loss == 0
        assert vectors.grad is not None
        assert vectors.grad.isfinite().all()


def test_a_second_view_gives_every_row_a_mate() -> None:
    objective = SupCon(again=True, projection=2)
    assert objective.streams == ("target", "target/again")
    module = objective.module(Fixed(4, LinearHead(4, 3)), facts_of())  # type: ignore[arg-type]
    assert module is not None
    one, other = draw(1, 3, 4), draw(2, 3, 4)
    step = step_of(features=one, again=other, batch={"targets": torch.arange(3)})
    loss = objective.losses(step, module)["supcon"]
    both = module(torch.cat([one, other]))
    torch.testing.assert_close(
        loss, supervised_contrast(both, torch.arange(3).repeat(2), objective.temperature)
    )
    assert loss > 0


# Tasks without classes


@pytest.mark.parametrize("objective", [RDrop(), SupCon(), CoTuning("t"), Delta(attention=True)])
def test_a_method_of_classes_refuses_a_regression(objective: Any) -> None:
    facts = facts_of(StreamTask(Regression(), HEAD))
    with pytest.raises(RecipeError, match="needs classes"):
        objective.module(Fixed(4, LinearHead(4, 1)), facts)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (BSS, {"k": 0}),
        (Mixup, {"alpha": 0.0}),
        (SupCon, {"temperature": 0.0}),
        (SupCon, {"projection": 0}),
        (CoTuning, {"teacher": "t", "temperature": -1.0}),
        (RDrop, {"weight": -1.0}),
    ],
)
def test_wrong_options_are_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"k is|alpha|temperature|projection|weight"):
        kind(**options)
