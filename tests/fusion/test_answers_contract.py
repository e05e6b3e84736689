"""What every fusion of answers promises, whatever its rule."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picture_models import SHADES, ancestor, kept, seen_descendant, seen_evidence, shown
from said_members import Said, evidence, keep, rows_table, silent, soft, write_tfidf
from transfuse.answering import Evidence, ModelFolder
from transfuse.answering.members import aligned_scores
from transfuse.data import Role, Table
from transfuse.errors import DataError, ModelError
from transfuse.fusion.answers import ANSWERS, AnswerFusion
from transfuse.tasks import Classification, MultiLabel, Regression

ROWS = 90
TASK = Classification(labels=("a", "b", "c"))
RNG = np.random.default_rng(3)
TARGETS = np.arange(ROWS) % 3
NAMES = [TASK.labels[target] for target in TARGETS]
TEXTS = [f"row {row}" for row in range(ROWS)]
ANSWERS_OF = [soft(RNG, TARGETS, 3, skill) for skill in (2.0, 1.0, 1.5)]

every = pytest.mark.parametrize("name", ANSWERS)
CLASSES_ONLY = ("stacking", "gate")


def members(answers: Sequence[Any] = ANSWERS_OF, task: Any = TASK) -> list[Any]:
    return [Said(task, each, f"m{place}") for place, each in enumerate(answers)]


def make(name: str, models: Sequence[Any], seen: Evidence | None = None) -> Any:
    return ANSWERS[name]().make(models, seen or evidence(NAMES), 0, silent)


@every
def test_it_answers_with_probabilities_and_tells_json(name: str) -> None:
    made = make(name, members())
    found = made.model.scores(TEXTS)
    assert found.shape == (ROWS, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    told = json.loads(json.dumps(dict(made.told), allow_nan=False))
    assert [member["name"] for member in told["members"]] == ["m0", "m1", "m2"]
    assert told["members"][0]["score"] == np.mean(ANSWERS_OF[0].argmax(axis=1) == TARGETS)
    assert told["best_member"] == "m0"
    assert told["metric"] == "accuracy"
    assert 0 <= told["score"] <= 1
    assert told["rows"] == ROWS
    assert made.task == TASK


@every
def test_a_row_alone_answers_as_among_others(name: str) -> None:
    model = make(name, members()).model
    found = model.scores(TEXTS)
    alone = np.vstack([model.scores([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, found, rtol=1e-9)


@every
def test_the_order_of_members_and_of_labels_changes_nothing(name: str) -> None:
    found = make(name, members()).model.scores(TEXTS)
    turned = make(name, members()[::-1]).model.scores(TEXTS)
    np.testing.assert_allclose(turned, found, atol=2e-3)
    order = [2, 0, 1]
    other = Classification(labels=tuple(TASK.labels[place] for place in order))
    mixed = [members()[0], Said(other, ANSWERS_OF[1][:, order], "m1"), members()[2]]
    np.testing.assert_allclose(make(name, mixed).model.scores(TEXTS), found, atol=1e-9)


@every
def test_the_same_call_gives_the_same(name: str) -> None:
    one, other = make(name, members()), make(name, members())
    np.testing.assert_array_equal(one.model.scores(TEXTS), other.model.scores(TEXTS))
    assert one.told == other.told


@every
def test_of_the_same_member_twice_it_is_that_member(name: str) -> None:
    found = make(name, members([ANSWERS_OF[0]] * 2)).model.scores(TEXTS)
    if name == "stacking":  # it may still mend how sure the member is
        same = found.argmax(axis=1) == ANSWERS_OF[0].argmax(axis=1)
        assert same.mean() > 0.9
    else:
        np.testing.assert_allclose(found, ANSWERS_OF[0], atol=1e-6)


@every
def test_a_member_that_knows_all_is_found(name: str) -> None:
    perfect = np.full((ROWS, 3), 0.01) + 0.97 * np.eye(3)[TARGETS]
    noise = soft(np.random.default_rng(9), TARGETS, 3, 0.0)
    found = make(name, members([noise, perfect])).model.scores(TEXTS)
    right = (found.argmax(axis=1) == TARGETS).mean()
    # Equal weights and votes do not look at who is right.
    assert right >= (0.8 if name in ("average", "voting") else 1.0)


@every
def test_rows_of_other_kinds_of_task(name: str) -> None:
    several = MultiLabel(labels=("a", "b"))
    truths = np.random.default_rng(1).integers(2, size=(ROWS, 2))
    answers = [np.clip(truths * 0.6 + RNG.uniform(0, 0.4, (ROWS, 2)), 0, 1) for _ in range(2)]
    lists = [[several.labels[place] for place in np.flatnonzero(row)] for row in truths]
    rows = evidence(lists)
    numbers = Regression(mean=0.0, deviation=1.0)
    values = np.linspace(-3, 3, ROWS)
    said = [(values + RNG.normal(size=ROWS))[:, None] for _ in range(2)]
    measured = evidence(values.tolist())
    for task, given, seen in ((several, answers, rows), (numbers, said, measured)):
        kinds = ANSWERS[name].kinds  # type: ignore[attr-defined]
        if task.kind in kinds:
            made = make(name, members(given, task), seen)
            found = made.model.scores(TEXTS)
            assert found.shape == given[0].shape
            assert made.told["score"] >= min(each["score"] for each in made.told["members"])
        else:
            with pytest.raises(ModelError, match="average, by_score, learned and greedy"):
                make(name, members(given, task), seen)
    assert ("multilabel" in kinds) == (name not in CLASSES_ONLY)


def test_the_error_names_what_does_every_kind() -> None:
    every_kind = {"classification", "multilabel", "regression"}
    does = [
        name
        for name, stage in ANSWERS.items()
        if issubclass(stage, AnswerFusion) and set(stage.kinds) == every_kind
    ]
    assert sorted(does) == ["average", "by_score", "greedy", "learned"]


@every
def test_without_validation_rows_only_what_needs_none_goes_on(name: str) -> None:
    rows = Evidence(rows_table(NAMES[:3], start=ROWS), rows_table(NAMES).take([]))
    if name in ("average", "voting"):
        made = make(name, members(), rows)
        np.testing.assert_allclose(made.model.scores(TEXTS).sum(axis=1), 1.0)
        assert "score" not in made.told
    else:
        with pytest.raises(DataError, match="no validation rows"):
            make(name, members(), rows)


@every
def test_labels_that_no_model_knows_are_an_error(name: str) -> None:
    with pytest.raises(DataError, match="'d'"):
        make(name, members(), evidence(["d", *NAMES[1:]]))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> list[ModelFolder]:
    home = tmp_path_factory.mktemp("seeing")
    source = ancestor(home / "source", "vit")
    labels = (SHADES, SHADES[::-1])
    return [
        seen_descendant(home / f"m{place}", source, seed=place, size=0.1, labels=names)
        for place, names in enumerate(labels)
    ]


@every
def test_models_of_pictures_answer_as_one_folder(
    name: str, seeing: list[ModelFolder], tmp_path: Path
) -> None:
    seen = seen_evidence(train=4, validation=24)
    made = make(name, seeing, seen)
    assert made.task.label_names == SHADES
    assert made.told["rows"] >= 24
    scores = made.model.scores(shown(4))
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    alone = np.vstack([made.model.scores(shown(4).take([row])) for row in range(4)])
    np.testing.assert_allclose(alone, scores, atol=1e-5)
    opened = kept(tmp_path / "whole", made.model, made.task, {})
    assert opened.reads == (Role.IMAGE,)
    np.testing.assert_allclose(opened.scores(shown(4)), scores, atol=1e-6)
    members = [aligned_scores(each.scores(shown(4)), each.task.label_names, SHADES)
               for each in seeing]  # fmt: skip
    if name in ("average", "by_score", "learned", "greedy", "bma", "gate"):
        # Means of what the members say lie between them.
        assert (scores <= np.max(members, axis=0) + 1e-6).all()
        assert (scores >= np.min(members, axis=0) - 1e-6).all()


@every
def test_it_saves_as_one_folder_that_predicts(name: str, tmp_path: Path) -> None:
    from said_members import LABELS, TEXTS

    one, two = write_tfidf(tmp_path / "one"), write_tfidf(tmp_path / "two", LABELS[::-1], words=2)
    names = ["good", "good", "good", "bad", "bad", "bad"] * 3
    table = Table.from_dict(
        {"text": [f"{text} {row}" for row, text in enumerate(TEXTS)], "label": names},
        roles={"text": "text", "label": "label"},
    )
    made = make(name, [one, two], Evidence(table.take([]), table))
    opened = keep(tmp_path / "whole", made.model, made.task)
    np.testing.assert_allclose(opened.scores(TEXTS), made.model.scores(TEXTS), rtol=1e-9)
    assert opened.predict(["a very good book"]) == ["good"]
