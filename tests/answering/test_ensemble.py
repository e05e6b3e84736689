"""Ensembles: one folder of several models, that answers as its rule says."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from said_members import LABELS, TEXTS, Said, keep, write_tfidf
from transfuse.answering import load_model, model_bytes
from transfuse.answering.ensemble import Ensemble
from transfuse.answering.members import common_task
from transfuse.answering.predict import predict_texts
from transfuse.answering.rules import Gated, Logistic, Rule, Vote, WeightedMean
from transfuse.errors import ModelError
from transfuse.evaluation import apply_temperature
from transfuse.models import Engine, LinearHead, load_classifier
from transfuse.tasks import Classification, MultiLabel, Regression

UNSEEN = ["a good book", "so poor a film", "nothing of it", "very very bad"]
HALF = WeightedMean(np.array([0.5, 0.5]))


def shares(members: int = 3, rows: int = 4, classes: int = 3) -> st.SearchStrategy[np.ndarray]:
    """Probabilities [members, rows, classes]."""
    weights = st.floats(0.01, 1.0)
    return arrays(np.float64, (members, rows, classes), elements=weights).map(
        lambda values: values / values.sum(axis=2, keepdims=True)
    )


def rules(members: int, classes: int) -> list[Rule]:
    """One of each kind."""
    rng = np.random.default_rng(0)
    return [
        WeightedMean(rng.dirichlet(np.ones(members))),
        Vote(),
        Logistic(rng.normal(size=(members, classes, classes)), rng.normal(size=classes)),
        Gated(
            rng.normal(size=members),
            rng.normal(size=(2 * members, members)),
            np.zeros(2 * members),
            np.ones(2 * members),
        ),
    ]


@pytest.mark.parametrize("rule", rules(2, 2), ids=lambda rule: type(rule).__name__)
def test_a_folder_holds_all_that_it_answers_with(rule: Rule, tmp_path: Path) -> None:
    one = write_tfidf(tmp_path / "one", temperature=2.0)
    two = write_tfidf(tmp_path / "two", words=2)
    ensemble = Ensemble((one, two), rule, LABELS)
    before = keep(tmp_path / "whole", ensemble, one.task)
    expected = ensemble.scores(UNSEEN)
    np.testing.assert_allclose(before.scores(UNSEEN), expected, rtol=1e-12)
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(tmp_path / "two")
    (tmp_path / "whole").rename(tmp_path / "elsewhere")
    after = load_model(tmp_path / "elsewhere")
    np.testing.assert_array_equal(after.scores(UNSEEN), before.scores(UNSEEN))
    assert not [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_symlink()]
    assert [said.value for said in predict_texts(after, UNSEEN)] == after.predict(UNSEEN)
    assert isinstance(after.model, Ensemble)
    assert after.model.parameters == ensemble.parameters


def test_a_member_answers_with_its_own_temperature(tmp_path: Path) -> None:
    plain = write_tfidf(tmp_path / "plain")
    cool = write_tfidf(tmp_path / "cool", temperature=3.0)
    whole = keep(tmp_path / "whole", Ensemble((plain, cool), HALF, LABELS), plain.task)
    raw = plain.scores(UNSEEN)
    np.testing.assert_allclose(whole.scores(UNSEEN), (raw + apply_temperature(raw, 3.0)) / 2)


def test_a_member_that_comes_twice_is_kept_once_and_asked_once(tmp_path: Path) -> None:
    one = write_tfidf(tmp_path / "one")
    thirds = WeightedMean(np.full(3, 1 / 3))
    whole = keep(tmp_path / "whole", Ensemble((one, one, one), thirds, LABELS), one.task)
    assert [path.name for path in (tmp_path / "whole" / "members").iterdir()] == ["00"]
    assert whole.model.parameters == one.model.parameters
    np.testing.assert_allclose(whole.scores(UNSEEN), one.scores(UNSEEN))
    said = Said(Classification(labels=LABELS), np.array([[0.2, 0.8]]))
    Ensemble((said, said, said), thirds, LABELS).scores(["row 0"])
    assert len(said.asked) == 1


def test_copies_cost_no_space(tmp_path: Path) -> None:
    one = write_tfidf(tmp_path / "one")
    link = tmp_path / "linked.json"
    link.write_text("{}", encoding="utf-8")
    (tmp_path / "one" / "linked.json").symlink_to(link)
    keep(tmp_path / "whole", Ensemble((one, one), HALF, LABELS), one.task)
    copy = tmp_path / "whole" / "members" / "00"
    for name in ("model.safetensors", "transfuse.json"):
        assert (copy / name).stat().st_ino == (tmp_path / "one" / name).stat().st_ino
    # A link to a link would be a link that leads out of the folder.
    assert not (copy / "linked.json").is_symlink()
    assert (copy / "linked.json").read_text(encoding="utf-8") == "{}"


def test_an_ensemble_may_be_a_member(tmp_path: Path) -> None:
    one, two = write_tfidf(tmp_path / "one"), write_tfidf(tmp_path / "two", words=2)
    inner = keep(tmp_path / "inner", Ensemble((one, two), HALF, LABELS), one.task)
    outer = keep(tmp_path / "outer", Ensemble((inner, two), HALF, LABELS), one.task)
    shutil.rmtree(tmp_path / "inner")
    expected = one.scores(UNSEEN) / 4 + two.scores(UNSEEN) * 3 / 4
    np.testing.assert_allclose(load_model(outer.path).scores(UNSEEN), expected)


def test_networks_and_others_go_together(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    words = write_tfidf(tmp_path / "words")
    members = [words]
    for kind in ("bert", "gpt2"):
        network = load_classifier(tiny(kind), LABELS, task="target", pooling="mean")
        members.append(keep(tmp_path / kind, network, Classification(labels=LABELS)))
    for rule in rules(3, 2):
        ensemble = Ensemble(tuple(members), rule, LABELS)
        whole = keep(tmp_path / type(rule).__name__, ensemble, words.task)
        found = whole.scores(TEXTS)
        # bf16 may round a row otherwise among others.
        alone = np.vstack([whole.scores([text]) for text in TEXTS])
        np.testing.assert_allclose(found, alone, atol=0.02)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert whole.model.parameters > words.model.parameters


def test_a_member_keeps_the_task_that_it_answers_for(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    from transfuse.answering import write_folder
    from transfuse.evaluation import Scorecard

    task, card = Classification(labels=LABELS), Scorecard({"accuracy": 1.0})
    network = load_classifier(tiny("bert"), LABELS, task="first", pooling="mean")
    network.heads["second"] = LinearHead(network.encoder.dim, 2, seed=5)
    write_folder(
        tmp_path / "two",
        network,
        task,
        columns={},
        recipe={},
        scorecard=card,
        training_keys=[],
        tasks={"first": (task, card), "second": (task, card)},
    )
    second = load_model(tmp_path / "two", task="second")
    first = load_model(tmp_path / "two")
    whole = keep(tmp_path / "whole", Ensemble((second, first), HALF, LABELS), task)
    assert [member.head for member in whole.model.members] == ["second", "first"]
    expected = (first.scores(UNSEEN) + second.scores(UNSEEN)) / 2
    np.testing.assert_allclose(whole.scores(UNSEEN), expected, atol=1e-6)
    assert np.abs(first.scores(UNSEEN) - second.scores(UNSEEN)).max() > 0.01


def test_labels_meet_by_name(tmp_path: Path) -> None:
    one = write_tfidf(tmp_path / "one")
    turned = write_tfidf(tmp_path / "turned", LABELS[::-1])
    assert common_task((one, turned)).label_names == LABELS
    found = Ensemble((one, turned), HALF, LABELS).scores(UNSEEN)
    np.testing.assert_allclose(found, one.scores(UNSEEN), atol=1e-4)
    more = Said(Classification(labels=("odd", "good")), np.array([[0.9, 0.1]]))
    few = Said(Classification(labels=LABELS), np.array([[0.4, 0.6]]))
    task = common_task((few, more))
    assert task.label_names == ("bad", "good", "odd")
    found = Ensemble((few, more), HALF, task.label_names).scores(["row 0"])
    np.testing.assert_allclose(found, [[0.2, 0.35, 0.45]])


def test_members_of_different_tasks_are_refused() -> None:
    classes = Said(Classification(labels=LABELS), np.zeros((1, 2)))
    several = Said(MultiLabel(labels=LABELS), np.zeros((1, 2)))
    number = Said(Regression(mean=0.0, deviation=1.0), np.zeros((1, 1)))
    with pytest.raises(ModelError, match="does multilabel; expected classification") as caught:
        common_task((classes, several, number))
    assert len(caught.value.problems) == 2
    with pytest.raises(ModelError, match="knows 'odd'"):
        common_task((several, Said(MultiLabel(labels=("odd", *LABELS)), np.zeros((1, 3)))))
    turned = Said(MultiLabel(labels=LABELS[::-1]), np.zeros((1, 2)))
    assert common_task((several, turned)).label_names == LABELS


@given(shares())
def test_rules_give_probabilities_row_by_row(answers: np.ndarray) -> None:
    for rule in rules(3, 3):
        found = rule.combine("classification", answers)
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        assert (found >= 0).all()
        np.testing.assert_allclose(rule.shares(answers).sum(axis=0), 1.0)
        for row in range(answers.shape[1]):
            alone = rule.combine("classification", answers[:, row : row + 1])
            np.testing.assert_allclose(alone[0], found[row], rtol=1e-12)


@given(shares(members=1))
def test_of_one_member_it_is_that_one(answers: np.ndarray) -> None:
    for rule in (WeightedMean(np.ones(1)), Vote()):
        np.testing.assert_allclose(rule.combine("classification", answers), answers[0])
    np.testing.assert_allclose(Vote().combine("multilabel", answers), answers[0])


@given(shares(members=4), st.permutations(range(4)), st.permutations(range(3)))
def test_a_vote_goes_to_the_most_and_then_to_the_surest(
    answers: np.ndarray, order: list[int], classes: list[int]
) -> None:
    found = Vote().combine("classification", answers)
    turned = Vote().combine("classification", answers[order][:, :, classes])
    clear = np.ptp(np.sort(answers, axis=2)[:, :, -2:], axis=2).min(axis=0) > 1e-9
    votes = np.stack([np.bincount(row, minlength=3) for row in answers.argmax(axis=2).T])
    best = votes == votes.max(axis=1, keepdims=True)
    mean = np.where(best, answers.mean(axis=0), -1)
    clear &= (np.sort(mean, axis=1)[:, -1] - np.sort(mean, axis=1)[:, -2]) > 1e-9
    np.testing.assert_allclose(turned[clear], found[:, classes][clear])
    np.testing.assert_array_equal(found.argmax(axis=1)[clear], mean.argmax(axis=1)[clear])


def test_each_of_several_labels_has_a_vote_of_its_own() -> None:
    answers = np.array([[[0.9, 0.4]], [[0.6, 0.4]], [[0.1, 0.9]]])
    np.testing.assert_allclose(Vote().combine("multilabel", answers), [[0.75, 0.4]])
    tie = Vote().combine("multilabel", answers[[0, 2]])
    np.testing.assert_allclose(tie, [[0.5, 0.65]])


def test_disagreement_is_what_members_are_sure_of_differently() -> None:
    task = Classification(labels=LABELS)
    sure = np.array([[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]])
    other = np.array([[0.0, 1.0], [0.5, 0.5], [0.9, 0.1]])
    rows = ["row 0", "row 1", "row 2"]
    members = (Said(task, sure), Said(task, other))
    found = Ensemble(members, HALF, LABELS).disagreement(rows)
    np.testing.assert_allclose(found, [np.log(2), 0, 0], atol=1e-12)
    alone = Ensemble(members, WeightedMean(np.array([1.0, 0.0])), LABELS).disagreement(rows)
    np.testing.assert_allclose(alone, 0, atol=1e-12)
    several = tuple(Said(MultiLabel(labels=LABELS), each) for each in (sure, other))
    found = Ensemble(several, HALF, LABELS).disagreement(rows)
    np.testing.assert_allclose(found, [2 * np.log(2), 0, 0], atol=1e-12)
    numbers = tuple(
        Said(Regression(mean=0.0, deviation=1.0), each[:, :1] * 10) for each in (sure, other)
    )
    found = Ensemble(numbers, HALF, ("value",)).disagreement(rows)
    np.testing.assert_allclose(found, [25, 0, 0])


@given(shares(members=3, rows=5))
def test_disagreement_has_its_bounds(answers: np.ndarray) -> None:
    task = Classification(labels=("a", "b", "c"))
    members = tuple(Said(task, each) for each in answers)
    rows = [f"row {row}" for row in range(5)]
    for rule in rules(3, 3):
        found = Ensemble(members, rule, task.labels).disagreement(rows)
        assert (found >= 0).all()
        assert (found <= np.log(3) + 1e-9).all()


def test_no_text_is_no_answer(tmp_path: Path) -> None:
    ensemble = Ensemble((write_tfidf(tmp_path / "one"),) * 2, HALF, LABELS)
    assert ensemble.scores([]).shape == (0, 2)
    assert ensemble.disagreement([]).shape == (0,)


def test_members_answer_with_the_arithmetic_that_is_asked_for(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    network = load_classifier(tiny("bert"), LABELS, task="target", pooling="mean")
    member = keep(tmp_path / "member", network, Classification(labels=LABELS))
    whole = Ensemble((member,), WeightedMean(np.array([1.0])), LABELS)
    folder = keep(tmp_path / "whole", whole, Classification(labels=LABELS)).path
    for engine in (Engine(), Engine(dtype=torch.bfloat16)):
        wanted = load_model(member.path, engine).scores(TEXTS)
        np.testing.assert_allclose(load_model(folder, engine).scores(TEXTS), wanted, atol=1e-9)


def test_a_size_is_that_of_the_folder_whatever_it_lies_in(tmp_path: Path) -> None:
    model = write_tfidf(tmp_path / "adapter" / "model")
    assert model_bytes(model.path) == model_bytes(write_tfidf(tmp_path / "model").path) > 0
