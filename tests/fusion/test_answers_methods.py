"""What each fusion of answers promises beyond what all do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from said_members import LABELS, TEXTS, Said, evidence, keep, rows_table, silent, soft, write_tfidf
from said_members import TARGETS as LABELS_OF_TEXTS
from transfuse.answering import Evidence
from transfuse.answering.rules import Gated, WeightedMean
from transfuse.data import seed_for
from transfuse.errors import DataError, ModelError
from transfuse.fusion.answers import ANSWERS
from transfuse.fusion.answers.folds import folds
from transfuse.tasks import Classification, Regression

ROWS = 60
TASK = Classification(labels=("a", "b", "c"))
TARGETS = np.arange(ROWS) % 3
NAMES = [TASK.labels[target] for target in TARGETS]


def said(answers: list[Any], **more: Any) -> list[Any]:
    return [Said(TASK, each, f"m{place}", **more) for place, each in enumerate(answers)]


def draw(seed: int, *skills: float) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [soft(rng, TARGETS, 3, skill) for skill in skills]


def make(name: str, models: list[Any], seen: Evidence | None = None, **options: Any) -> Any:
    return ANSWERS[name](**options).make(models, seen or evidence(NAMES), 0, silent)


def weights(made: Any) -> list[float]:
    return [member["weight"] for member in made.told["members"]]


def log_loss(answers: Any) -> float:
    return float(-np.log(answers[np.arange(ROWS), TARGETS]).mean())


def accuracy(answers: Any) -> float:
    return float((answers.argmax(axis=1) == TARGETS).mean())


seeds = st.integers(0, 10**6)


def test_given_weights_are_shares_of_their_sum() -> None:
    answers = draw(0, 1.0, 2.0)
    made = make("average", said(answers), weights=(1, 3))
    assert weights(made) == [0.25, 0.75]
    texts = [f"row {row}" for row in range(ROWS)]
    np.testing.assert_allclose(made.model.scores(texts), answers[0] / 4 + answers[1] * 3 / 4)
    for wrong in ((0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="not all 0"):
            ANSWERS["average"](weights=wrong)
    with pytest.raises(ModelError, match="3 weights; expected one for each of 2"):
        make("average", said(answers), weights=(1, 1, 1))


def test_a_member_without_weight_is_left_out_and_its_labels_stay() -> None:
    rng = np.random.default_rng(0)
    few = Said(Classification(labels=("a", "b")), soft(rng, TARGETS % 2, 2, 1.0), "few")
    made = make("average", [few, *said(draw(0, 1.0))], weights=(1, 0))
    assert [member.name for member in made.model.members] == ["few"]
    assert made.model.labels == ("a", "b", "c")
    assert made.told["members"][1]["weight"] == 0


def test_better_members_count_more_by_score() -> None:
    models = said(draw(1, 0.5, 3.0, 1.5))
    for options in ({}, {"how": "proportional"}, {"metric": "log_loss", "how": "proportional"}):
        found = make("by_score", models, **options)
        order = np.argsort([member["score"] for member in found.told["members"]])
        assert list(np.argsort(weights(found))) == list(order)
        assert sum(weights(found)) == pytest.approx(1.0)
    sharp = make("by_score", models, temperature=1e-4)
    assert max(weights(sharp)) == pytest.approx(1.0)
    flat = make("by_score", models, temperature=1e4)
    assert weights(flat) == pytest.approx([1 / 3] * 3, abs=1e-4)
    two = make("by_score", models, temperature=0.05)
    scores = [member["score"] for member in two.told["members"]]
    ratio = weights(two)[1] / weights(two)[0]
    assert ratio == pytest.approx(np.exp((scores[1] - scores[0]) / 0.05))


def test_a_score_of_another_kind_of_task_is_refused() -> None:
    for name in ("by_score", "greedy"):
        with pytest.raises(ModelError, match=f"{name}.metric: 'rmse' is for regression"):
            make(name, said(draw(0, 1.0, 1.0)), metric="rmse")
        with pytest.raises(ValueError, match="metric is one of"):
            ANSWERS[name](metric="acuracy")


@given(seeds)
def test_learned_weights_lose_no_more_than_any_member_and_the_average(seed: int) -> None:
    answers = draw(seed, 0.0, 1.0, 2.0)
    made = make("learned", said(answers))
    assert made.told["gap"] <= 1e-6
    found = made.told["loss"]
    assert found == pytest.approx(
        log_loss(made.model.scores([f"row {row}" for row in range(ROWS)])), abs=1e-9
    )
    for other in (*answers, np.mean(answers, axis=0)):
        assert found <= log_loss(other) + 1e-6


def test_learned_weights_of_numbers_are_least_squares() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=ROWS) * 100 + 1000
    task = Regression(mean=0.0, deviation=1.0)
    noise = rng.normal(size=(2, ROWS))
    models = [
        Said(task, (values + 50 * noise[0])[:, None]),
        Said(task, (values + noise[1])[:, None]),
    ]
    made = make("learned", models, evidence(values.tolist()))
    assert weights(made)[1] > 0.99
    assert made.told["loss"] <= min(made.told["members_loss"]) + 1e-6 * values.var()


@given(seeds, st.sampled_from(["accuracy", "log_loss", "macro_f1"]))
def test_greedy_is_never_worse_than_the_best_member(seed: int, metric: str) -> None:
    from transfuse.evaluation import METRICS

    answers = draw(seed, 0.5, 1.0, 1.0)
    made = make("greedy", said(answers), metric=metric, rounds=6)
    mixed = made.model.scores([f"row {row}" for row in range(ROWS)])
    sign = 1 if METRICS[metric].higher_is_better else -1
    best = max(sign * METRICS[metric](each, TARGETS) for each in answers)
    assert sign * METRICS[metric](mixed, TARGETS) >= best - 1e-12
    picks = np.array(made.told["picks"])
    assert 1 <= picks.sum() <= 6
    np.testing.assert_allclose(weights(made), picks / picks.sum())


def test_greedy_of_one_round_is_the_best_member_and_bags_are_seeded() -> None:
    models = said(draw(4, 1.0, 2.5, 0.5))
    assert weights(make("greedy", models, rounds=1)) == [0.0, 1.0, 0.0]
    bagged = make("greedy", models, bags=5)
    assert sum(weights(bagged)) == pytest.approx(1.0)
    assert weights(bagged) == weights(make("greedy", models, bags=5))


def test_stacking_recovers_a_member_that_is_right_in_other_words() -> None:
    # Sure, and always one class off: no mean of answers can use it.
    shifted = np.full((ROWS, 3), 0.05) + 0.85 * np.eye(3)[(TARGETS + 1) % 3]
    noise = draw(0, 0.0)[0]
    made = make("stacking", said([noise, shifted]))
    found = made.model.scores([f"row {row}" for row in range(ROWS)])
    assert accuracy(found) == 1.0
    assert made.told["score"] == 1.0
    assert made.told["score_of"] == "5-fold cross-validation"


def test_stacking_is_judged_on_rows_that_it_was_not_fitted_on() -> None:
    made = make("stacking", said(draw(5, 0.0, 0.0, 0.0, 0.0)), strength=1e4)
    found = made.model.scores([f"row {row}" for row in range(ROWS)])
    # Nothing is to be learnt; what was fitted to noise must not be told as a score.
    assert accuracy(found) > 0.5
    assert made.told["score"] < 0.5
    free = make("stacking", said(draw(5, 0.0, 0.0, 0.0, 0.0)))
    assert free.told["loss"] < made.told["loss"]
    assert free.told["loss"] == pytest.approx(np.log(3), abs=0.15)


def test_stacking_of_two_classes_and_of_missing_ones() -> None:
    task = Classification(labels=("no", "yes"))
    targets = np.arange(40) % 2
    good = np.eye(2)[targets] * 0.6 + 0.2
    rng = np.random.default_rng(0)
    models = [Said(task, good), Said(task, soft(rng, targets, 2, 0.0))]
    rows = evidence([task.labels[target] for target in targets])
    made = ANSWERS["stacking"]().make(models, rows, 0, silent)
    found = made.model.scores([f"row {row}" for row in range(40)])
    np.testing.assert_array_equal(found.argmax(axis=1), targets)
    with pytest.raises(DataError, match="no validation row of the class 'c'"):
        make("stacking", said(draw(0, 1.0, 1.0)), evidence([*"ab"] * 30))


@pytest.mark.parametrize("name", ["stacking", "gate"])
def test_training_rows_count_only_where_no_member_learnt_from_them(name: str) -> None:
    answers = [np.vstack([each, each[:20]]) for each in draw(6, 2.0, 1.0)]
    train = rows_table(NAMES[:20], start=ROWS)
    rows = Evidence(train, rows_table(NAMES))
    made = make(name, said(answers), rows)
    assert made.told["rows"] == ROWS + 20
    assert "20 training rows that no member learnt from" in made.told["fitted_on"]
    keys = train.row_keys()
    learnt = said(answers)
    learnt[1].training_keys = frozenset(keys[:15])
    assert make(name, learnt, rows).told["rows"] == ROWS + 5
    learnt[0].training_keys = frozenset(keys[15:])
    made = make(name, learnt, rows)
    assert made.told["rows"] == ROWS
    assert made.told["fitted_on"] == "validation rows"
    assert make("learned", said(answers), rows).told["rows"] == ROWS


def test_bayes_selects_and_says_so() -> None:
    good, bad, twin = draw(7, 3.0, 0.0, 3.0)
    made = make("bma", said([good, bad]))
    assert weights(made)[0] > 0.99
    assert made.told["collapsed"]
    assert made.told["effective_members"] == pytest.approx(1.0, abs=0.05)
    even = make("bma", said([good, bad]), rows=0)
    assert weights(even) == pytest.approx([0.5, 0.5])
    assert not even.told["collapsed"]
    assert even.told["effective_members"] == pytest.approx(2.0)
    tempered = make("bma", said([good, bad]), rows=2)
    assert 0.5 < weights(tempered)[0] < 0.99
    # Rows of one document are no evidence of their own.
    documents = evidence(NAMES, groups=[f"d{row // 20}" for row in range(ROWS)])
    grouped = make("bma", said([good, twin]), documents)
    assert grouped.told["effective_rows"] == 3


def test_a_lead_that_chance_explains_does_not_decide() -> None:
    for seed in range(5):
        found = weights(make("bma", said(draw(seed, 1.0, 1.0)), draws=200))
        assert max(found) < 0.999
        assert sum(found) == pytest.approx(1.0)


def _experts(seed: int, rows: int) -> tuple[Any, Any, Any]:
    """Two members, each of which knows its half of the rows and is unsure of the other."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, size=rows)
    knows = rng.random(rows) < 0.5
    sure = 0.9 * np.eye(3)[targets] + 0.1 / 3
    # Unsure, yet wrong more often than not, so that a mean cannot put up with it.
    vague = 0.5 * np.eye(3)[(targets + 1) % 3] + 0.5 / 3
    return targets, np.where(knows[:, None], sure, vague), np.where(knows[:, None], vague, sure)


def test_a_gate_follows_who_is_sure_and_a_fixed_weight_cannot() -> None:
    targets, one, other = _experts(0, 400)
    names = [TASK.labels[target] for target in targets]
    texts = [f"row {row}" for row in range(400)]
    fit = evidence(names[:200])
    gate = ANSWERS["gate"]().make(said([one, other]), fit, 0, silent)
    fixed = ANSWERS["learned"]().make(said([one, other]), fit, 0, silent)
    assert isinstance(gate.told["penalty"], float)

    def loss(made: Any) -> float:
        found = made.model.scores(texts)[200:]
        return float(-np.log(found[np.arange(200), targets[200:]]).mean())

    assert loss(gate) < loss(fixed) - 0.2
    shares = gate.model.rule.shares(gate.model.answers(texts))
    assert shares.std(axis=1).min() > 0.3


def test_a_gate_that_does_not_pay_stays_at_the_learned_weights() -> None:
    fixed = 0
    for seed in range(6):
        # How sure they are has nothing to do with whether they are right.
        rng = np.random.default_rng(seed)
        answers = []
        for _ in range(2):
            said_class = np.where(rng.random(ROWS) < 0.7, TARGETS, (TARGETS + 1) % 3)
            sure = rng.uniform(0.5, 0.9, size=ROWS)[:, None]
            answers.append(np.where(np.eye(3)[said_class] == 1, sure, (1 - sure) / 2))
        made = make("gate", said(answers))
        assert isinstance(made.model.rule, Gated)
        learned = make("learned", said(answers))
        held = make("gate", said(answers), penalty=1e6)
        np.testing.assert_allclose(weights(held), weights(learned), atol=3e-3)
        if made.told["penalty"] == "fixed weights":
            fixed += 1
            np.testing.assert_allclose(weights(made), weights(learned), atol=3e-3)
    assert fixed >= 3


def test_a_gate_may_read_the_first_members_vectors(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    from transfuse.data import Table
    from transfuse.models import load_classifier

    network = load_classifier(tiny("bert"), LABELS, task="target", pooling="mean")
    one = keep(tmp_path / "one", network, Classification(labels=LABELS))
    two = write_tfidf(tmp_path / "two")
    columns = {"text": TEXTS, "label": [LABELS[target] for target in LABELS_OF_TEXTS]}
    table = Table.from_dict(columns, roles={"text": "text", "label": "label"})
    seen = Evidence(table.take([]), table)
    made = make("gate", [one, two], seen, reads="vectors", penalty=0.1)
    assert made.model.rule.coefficients.shape == (4 + 32, 2)
    opened = keep(tmp_path / "whole", made.model, made.task)
    np.testing.assert_allclose(opened.scores(TEXTS), made.model.scores(TEXTS), atol=1e-6)
    np.testing.assert_allclose(opened.scores(TEXTS).sum(axis=1), 1.0)
    assert opened.model.disagreement(TEXTS).shape == (len(TEXTS),)
    with pytest.raises(ModelError, match="ClassicalModel, which has no vectors"):
        make("gate", [two, one], seen, reads="vectors")


@settings(max_examples=30)
@given(seeds)
def test_a_gate_loses_no_more_than_fixed_weights_on_what_it_was_fitted_on(seed: int) -> None:
    answers = draw(seed, 1.0, 1.5)
    made = make("gate", said(answers), penalty=0.01, folds=2)
    found = made.model.scores([f"row {row}" for row in range(ROWS)])
    learned = make("learned", said(answers)).told["loss"]
    # Where `learned` leaves a member out, the gate holds a thousandth of it.
    assert log_loss(found) <= learned + 2e-3


@given(
    st.lists(st.integers(0, 2), min_size=4, max_size=40),
    st.integers(1, 5),
    st.integers(2, 6),
)
def test_folds_part_rows_by_group(targets: list[int], size: int, parts: int) -> None:
    groups = [row // size for row in range(len(targets))]
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="at least two groups"):
            folds(np.array(targets), groups, parts, 0, "here")
        return
    found = folds(np.array(targets), groups, parts, seed_for(0, "folds"), "here")
    assert len(found) == min(parts, len(set(groups)))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(targets)))
    held = [{groups[row] for row in part} for part in found]
    assert sum(map(len, held)) == len(set(groups))


def test_folds_spread_the_classes() -> None:
    targets = np.array([0] * 50 + [1] * 5)
    found = folds(targets, None, 5, 0, "here")
    assert [int((targets[part] == 1).sum()) for part in found] == [1] * 5


def test_learned_is_a_weighted_mean_that_a_folder_can_keep() -> None:
    made = make("learned", said(draw(0, 1.0, 2.0)))
    assert isinstance(made.model.rule, WeightedMean)
    assert made.model.rule.weights.sum() == pytest.approx(1.0)
