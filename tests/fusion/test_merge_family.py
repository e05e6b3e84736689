"""Which models go together, what is refused, and one merge from training to predictions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from merge_models import descendant, evidence, quiet, reviews
from recipes import small_recipe, write_reviews
from transfuse.answering import Evidence, load_model
from transfuse.data import Table, read
from transfuse.errors import DataError, ModelError
from transfuse.fusion.merges import MERGES, relate
from transfuse.fusion.merges.family import parameters_of
from transfuse.fusion.merges.work import HEAD, Work
from transfuse.models import Engine, Inference, Network
from transfuse.recipe import build
from transfuse.tasks import Classification, MultiLabel, Regression
from transfuse.transfer import Engines, transfer


class _Plain(Engines):
    encode = Engine()
    train = Engine()


def make(name: str, models: list[Any], data: Evidence | None = None, **options: Any) -> Any:
    stage = build(MERGES, {name: options}, "merge")
    return stage.make(models, data or evidence(), 0, quiet)


def test_the_ancestor_is_the_one_that_the_recipes_name(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    models = [descendant(tmp_path / f"m{n}", tiny("bert"), seed=n, size=0.01) for n in range(2)]
    family = relate(models, None)
    assert family.source == str(tiny("bert"))
    assert family.fresh == ()
    assert all(0 < distance < 0.2 for distance in family.distances.values())
    for weights, delta in zip(family.weights, family.deltas, strict=True):
        for name, value in weights.items():
            torch.testing.assert_close(family.base[name] + delta[name], value)


def test_other_ancestors_and_strangers_are_refused(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    first = descendant(tmp_path / "a", tiny("bert"), seed=0)
    other = descendant(tmp_path / "b", tiny("bert", head=True), seed=1)
    with pytest.raises(ModelError, match=r"was trained from .* one ancestor"):
        make("soup", [first, other])
    far = descendant(tmp_path / "c", tiny("bert"), seed=2, size=1.0)
    with pytest.raises(ModelError, match="of the ancestor's length away"):
        make("soup", [first, far])
    nobody = replace(first, recipe={"model": {"tfidf": None}})
    with pytest.raises(ModelError, match="option `base`"):
        make("soup", [nobody, nobody])
    found = make("soup", [nobody, first], base=str(tiny("bert")), kind="uniform")
    assert found.told["base"] == str(tiny("bert"))


def test_another_architecture_reading_or_pooling_is_refused(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    first = descendant(tmp_path / "a", tiny("bert"), seed=0)
    kind = descendant(tmp_path / "b", tiny("roberta"), seed=1)
    with pytest.raises(ModelError, match="is RobertaModel of 4 layers"):
        make("soup", [first, kind], base=str(tiny("bert")))
    short = descendant(tmp_path / "c", tiny("bert"), seed=1, more={"max_length": 24})
    short.model.encoder.max_length = 8
    with pytest.raises(ModelError, match="another tokenizer or length"):
        make("soup", [first, short])
    pooled = descendant(tmp_path / "d", tiny("bert"), seed=1, pooling="cls")
    with pytest.raises(ModelError, match="pools by cls, not mean"):
        make("soup", [first, pooled])


def test_other_kinds_of_tasks_and_labels_are_told_apart(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    first = descendant(tmp_path / "a", tiny("bert"), seed=0)
    task = MultiLabel(labels=("bad", "good"))
    several = descendant(tmp_path / "b", tiny("bert"), seed=1, task=task)
    with pytest.raises(ModelError, match="answers multilabel; expected classification"):
        make("soup", [first, several])
    with pytest.raises(DataError, match="never saw"):
        make("soup", [first, first], evidence(labels=("bad", "ugly")))
    empty = Evidence(reviews(4, 1), reviews(4, 2).take([]))
    with pytest.raises(DataError, match="no rows to choose by"):
        make("soup", [first, first], empty)
    assert make("soup", [first, first], empty, kind="uniform").task == Classification(
        labels=("bad", "good")
    )


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_other_tasks_than_classification_merge(
    kind: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    task = MultiLabel(labels=("u", "v")) if kind == "multilabel" else Regression(0.0, 1.0)
    models = [descendant(tmp_path / f"m{n}", tiny("bert"), seed=n, task=task) for n in range(2)]
    words = ["good", "bad", "fine", "poor"] * 4
    labels: list[Any] = [["u"], ["v"], ["u", "v"], ["u"]] * 4
    if kind == "regression":
        labels = [0.5, 1.5, -2.0, 3.25] * 4
    texts = [f"{word} {place}" for place, word in enumerate(words)]
    rows = Table.from_dict({"text": texts, "label": labels})
    for name, options in (
        ("fisher", {"rows": 4}),
        ("task_arithmetic", {}),
        ("layerwise", {"by": "labels", "steps": 1}),
        ("wemoe", {}),
    ):
        made = make(name, models, Evidence(rows, rows), **options)
        assert made.task == task
    if kind == "regression":
        with pytest.raises(ModelError, match="numbers have no entropy"):
            make("layerwise", models, Evidence(rows, rows))


def test_tied_weights_stay_tied_and_counters_are_the_ancestors(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    # ALBERT runs one block three times: its weights are shared by construction.
    models = [descendant(tmp_path / f"m{n}", tiny("albert"), seed=n) for n in range(2)]
    made = make("task_arithmetic", models, scale=0.5)
    shared = [name for name in parameters_of(made.model) if "albert_layers" in name]
    assert len(shared) == len(set(shared)) > 0
    counted = descendant(tmp_path / "c", tiny("bert"), seed=3)
    positions = counted.model.encoder.backbone.embeddings.position_ids
    positions.add_(7)
    work = Work(relate([counted, counted], None), evidence(), 0, quiet)
    kept = work.network.encoder.backbone.embeddings.position_ids
    assert kept[0, 0] == 0
    assert positions[0, 0] == 7


def test_only_weights_that_have_changed_are_copied(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    models = [descendant(tmp_path / f"m{n}", tiny("bert"), seed=n) for n in range(2)]
    work = Work(relate(models, None), evidence(), 0, quiet)
    weights = dict(work.family.weights[0])
    work.put(weights)
    parameters = parameters_of(work.network)
    versions = {name: value._version for name, value in parameters.items()}
    (changed, *_) = weights
    work.put(weights | {changed: weights[changed] + 1})
    moved = {name for name, value in parameters.items() if value._version != versions[name]}
    assert moved == {changed}
    assert list(work.network.heads) == [HEAD]


def test_rows_of_a_member_are_those_that_it_learnt_from(
    tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    rows = evidence()
    own = rows.train.take(range(5))
    first = descendant(tmp_path / "a", tiny("bert"), seed=0, rows=own)
    second = descendant(tmp_path / "b", tiny("bert"), seed=1)
    work = Work(relate([first, second], None), rows, 0, quiet)
    assert sorted(work.rows(100, 0)) == list(range(5))
    assert sorted(work.rows(100, 1)) == list(range(len(rows.train)))
    assert len(work.inputs(7)) == 7


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]) -> list[Any]:
    """Two models trained from one ancestor on rows of their own."""
    made = []
    for seed in range(2):
        folder = tmp_path_factory.mktemp(f"trained{seed}")
        recipe = small_recipe(folder, tiny("bert"), seed=seed)
        write_reviews(folder / "target.jsonl", rows=90, seed=seed)
        recipe["train"] |= {"epochs": 3}
        recipe["tune"] = {"full": {"learning_rate": 0.001}}
        made.append(load_model(transfer(recipe, folder / "out", engines=_Plain()).folder, Engine()))
    return made


def test_one_call_tries_several_merges_and_says_what_it_took(
    trained: list[Any], tmp_path: Path
) -> None:
    table = read(write_reviews(tmp_path / "more.jsonl", rows=80, seed=9))
    rows = Evidence(table.take(range(40)), table.take(range(40, 80)))
    made = make(
        "best", trained, rows, candidates=("soup", {"task_arithmetic": {"highest": 1.0}}, "slerp")
    )
    told = made.told
    assert set(told["tried"]) == {"soup", "task_arithmetic", "slerp"}
    assert len(told["comparisons"]) == 6
    names = {row["name"] for row in told["frontier"]["points"]}
    assert {"soup", "task_arithmetic", "slerp", "ensemble"} < names
    assert len(names) == 6
    assert told["rows"]["judged"] in range(18, 23)
    parents = {each["parent"] for each in told["comparisons"]}
    beaten = [
        name
        for name in told["tried"]
        if all(each["beats"] for each in told["comparisons"] if each["candidate"] == name)
    ]
    assert told["accepted"] in (beaten or [None])
    assert told["chosen"] in (beaten or {"ensemble", *parents})
    assert isinstance(made.model, Network) == (told["chosen"] != "ensemble")
    twice = [trained[0], trained[0]]
    alone = make("best", twice, rows, candidates=("soup",), fall_back="model")
    assert alone.told["accepted"] is None, "the mean of a model with itself is no better"
    assert alone.model is trained[0].model


def test_best_refuses_what_it_cannot_try(trained: list[Any], tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unknown method 'soop'"):
        build(MERGES, {"best": {"candidates": ["soop"]}}, "merge")
    with pytest.raises(ModelError, match=r"best.candidates.slerp.*got 3 models"):
        make("best", [*trained, trained[0]], candidates=("slerp",))
    with pytest.raises(DataError, match="Raise `split"):
        make("best", trained, evidence(validation=3))


def test_a_trained_family_merges_and_still_answers(trained: list[Any], tmp_path: Path) -> None:
    table = read(write_reviews(tmp_path / "more.jsonl", rows=80, seed=9))
    rows = Evidence(table.take(range(40)), table.take(range(40, 80)))
    made = make("regmean", trained, rows, rows=20)
    merged = replace(trained[0], model=made.model, inference=Inference(made.model))
    own, *parents = (
        each.evaluate(rows.validation, allow_trained_rows=True).metrics["accuracy"]
        for each in (merged, *trained)
    )
    assert own >= max(parents) - 0.05
    assert own > 0.7
