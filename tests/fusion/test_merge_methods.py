"""Every merge on tiny models: what must hold whatever the weights are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merge_models import LABELS, descendant, evidence, quiet, reviews
from transfuse.answering import ModelFolder, Stage, write_folder
from transfuse.answering.dynamic import DynamicModel
from transfuse.answering.folder import load_model
from transfuse.evaluation import Scorecard
from transfuse.fusion.merges import MERGES
from transfuse.fusion.merges.family import parameters_of, relate
from transfuse.merging import METHODS
from transfuse.models import Engine, Inference, Network
from transfuse.recipe import build, describe

TEXTS = ["the film was good", "a bad book", "very poor and so it is"]
STILL = [name for name in MERGES if name not in ("best", "wemoe")]
QUICK: dict[str, dict[str, Any]] = {
    "fisher": {"rows": 6},
    "wudi": {"steps": 3},
    "layerwise": {"steps": 2, "batch_size": 4},
}


@pytest.fixture(scope="module")
def family(
    tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Path]
) -> list[ModelFolder]:
    folder, rows = tmp_path_factory.mktemp("family"), reviews(24, 1)
    return [
        descendant(folder / f"m{seed}", tiny("bert"), seed=seed, rows=rows.take(range(seed, 24, 3)))
        for seed in range(3)
    ]


def stage(name: str, **options: Any) -> Stage:
    return build(MERGES, {name: QUICK.get(name, {}) | options}, "merge")


def merged(name: str, models: list[ModelFolder], **options: Any) -> Network:
    method = stage(name, **options)
    made = method.make(models[: method.most], evidence(), 0, quiet)
    assert isinstance(made.model, Network)
    return made.model


def weights_of(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in parameters_of(network).items()}


def assert_alike(ours: dict[str, torch.Tensor], theirs: dict[str, Any], **tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], rtol=0.0, atol=tolerance.get("atol", 1e-5), msg=name
        )


@pytest.mark.parametrize("name", STILL)
def test_a_merged_model_can_be_written_and_answers_alike_afterwards(
    name: str, family: list[ModelFolder], tmp_path: Path
) -> None:
    made = stage(name).make(family[:2], evidence(), 0, quiet)
    write_folder(
        tmp_path / "out",
        made.model,
        made.task,
        columns={},
        recipe=family[0].recipe,
        scorecard=Scorecard({"accuracy": 0.5}),
        training_keys=[],
        made=[dict(made.told)],
    )
    again = load_model(tmp_path / "out", Engine())
    assert isinstance(made.model, Network)
    ours = replace(again, model=made.model, inference=Inference(made.model)).scores(TEXTS)
    np.testing.assert_allclose(again.scores(TEXTS), ours, atol=1e-6)
    assert made.task.label_names == LABELS
    assert made.told["base"] == family[0].recipe["model"]["pretrained"]["name"]


@pytest.mark.parametrize("name", STILL)
def test_members_stay_as_they_are(name: str, family: list[ModelFolder]) -> None:
    before = [{k: v.clone() for k, v in member.model.state_dict().items()} for member in family]
    merged(name, family)
    for member, kept in zip(family, before, strict=True):
        assert_alike(dict(member.model.state_dict()), kept, atol=0.0)


@pytest.mark.parametrize("name", [name for name in STILL if name not in ("wudi", "layerwise")])
def test_the_order_of_the_models_decides_nothing(name: str, family: list[ModelFolder]) -> None:
    some = family[: MERGES[name].most]
    there, back = merged(name, some), merged(name, some[::-1])
    assert_alike(weights_of(there), weights_of(back), atol=2e-4)


@pytest.mark.parametrize("name", ["fisher", "linear", "regmean", "regmean_pp", "slerp", "soup"])
def test_a_merge_of_one_model_with_itself_is_that_model(
    name: str, family: list[ModelFolder]
) -> None:
    found = merged(name, [family[0], family[0]])
    assert_alike(weights_of(found), weights_of(family[0].model), atol=1e-4)


SCALED = ["task_arithmetic", "wudi", "iso_c", "tsv_m"]


@pytest.mark.parametrize("name", SCALED)
def test_scale_0_gives_the_ancestor(name: str, family: list[ModelFolder]) -> None:
    assert_alike(weights_of(merged(name, family, scale=0.0)), relate(family, None).base, atol=0.0)


def test_task_arithmetic_adds_the_deltas(family: list[ModelFolder]) -> None:
    found = weights_of(merged("task_arithmetic", family, scale=0.4))
    kin = relate(family, None)
    for name, value in found.items():
        wanted = kin.base[name] + 0.4 * sum(delta[name] for delta in kin.deltas)
        torch.testing.assert_close(value, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"task_arithmetic"}))
def test_merges_without_data_are_those_of_the_engine(name: str, family: list[ModelFolder]) -> None:
    some = family[: MERGES[name].most]
    kin, found = relate(some, None), weights_of(merged(name, some))
    for key, value in found.items():
        models = [weights[key].numpy() for weights in kin.weights]
        wanted = METHODS[name]().combine(key, kin.base[key].numpy(), models)
        np.testing.assert_array_equal(value.numpy(), wanted)


def test_a_threshold_over_the_whole_model_keeps_the_largest_changes(
    family: list[ModelFolder],
) -> None:
    kin = relate(family[:1] * 2, None)
    found = weights_of(merged("ties", family[:1] * 2, trim="model", density=0.1))
    changed = {key: value != kin.base[key] for key, value in found.items()}
    sizes = {key: value.abs() for key, value in kin.deltas[0].items()}
    kept = torch.cat([sizes[key][changed[key]] for key in sizes])
    rest = torch.cat([sizes[key][~changed[key]] for key in sizes])
    assert len(kept) / (len(kept) + len(rest)) == pytest.approx(0.1, abs=0.01)
    assert kept.min() >= rest.max() - 1e-6


@pytest.mark.parametrize(("name", "option"), [("ties", "scale"), ("slerp", "t")])
def test_a_coefficient_of_the_engine_can_be_searched(
    name: str, option: str, family: list[ModelFolder]
) -> None:
    made = stage(name, search=True).make(family[:2], evidence(), 0, quiet)
    assert isinstance(made.model, Network)
    again = merged(name, family[:2], **{option: made.told[option]})
    assert_alike(weights_of(made.model), weights_of(again))


def test_task_arithmetic_of_the_mean_is_the_uniform_soup(family: list[ModelFolder]) -> None:
    third = merged("task_arithmetic", family, scale=1 / 3)
    assert_alike(weights_of(third), weights_of(merged("soup", family, kind="uniform")))


def test_layers_with_equal_coefficients_are_task_arithmetic(family: list[ModelFolder]) -> None:
    found = merged("layerwise", family, steps=0, start=0.4)
    assert_alike(weights_of(found), weights_of(merged("task_arithmetic", family, scale=0.4)))


@pytest.mark.parametrize("by", ["entropy", "labels"])
def test_coefficients_of_layers_lower_their_loss(by: str, family: list[ModelFolder]) -> None:
    made = stage("layerwise", by=by, steps=30, batch_size=16, rate=0.05).make(
        family, evidence(train=16), 0, quiet
    )
    first, last = made.told["loss"]
    assert last < first
    assert len(made.told["coefficients"]["m0"]) == family[0].model.encoder.depth


def test_the_search_finds_no_worse_than_the_ends(family: list[ModelFolder]) -> None:
    told = stage("task_arithmetic").make(family, evidence(), 0, quiet).told
    scores = dict(map(tuple, told["tried"]))
    assert scores[told["scale"]] == max(scores.values())
    assert {0.0, 1.5} <= scores.keys()


def test_the_greedy_soup_validates_no_worse_than_any_model(family: list[ModelFolder]) -> None:
    told = stage("soup").make(family, evidence(), 0, quiet).told
    assert told["worth"] >= max(told["alone"].values())
    assert set(told["taken"]) <= {"m0", "m1", "m2"}


@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_heads_of_other_labels_stand_side_by_side(
    pooling: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    first = descendant(tmp_path / "a", tiny("bert"), seed=0, labels=("x", "y"), pooling=pooling)
    second = descendant(
        tmp_path / "b", tiny("bert"), seed=1, labels=("z", "y", "w"), pooling=pooling
    )
    rows = evidence(labels=("x", "y", "z", "w"))
    made = stage("soup", kind="uniform").make([first, second], rows, 0, quiet)
    assert made.task.label_names == ("x", "y", "z", "w")
    assert made.told["labels"] == {"all": 4, "shared": 1}
    layers = [model.heads["target"].linear for model in (first.model, second.model, made.model)]
    one, two, both = (layer.weight for layer in layers)
    wanted = torch.stack([one[0], (one[1] + two[1]) / 2, two[0], two[2]])
    torch.testing.assert_close(both, wanted)
    write_folder(
        tmp_path / "out",
        made.model,
        made.task,
        columns={},
        recipe={},
        scorecard=Scorecard({"accuracy": 0.5}),
        training_keys=[],
    )
    again = load_model(tmp_path / "out", Engine())
    assert again.scores(TEXTS).shape == (3, 4)
    assert again.task.label_names == ("x", "y", "z", "w")


@pytest.mark.parametrize("pooling", ["mean", "native"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_wemoe_with_a_one_hot_router_is_the_member(
    kind: str, pooling: str, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    models = [
        descendant(tmp_path / f"m{seed}", tiny(kind), seed=seed, pooling=pooling)
        for seed in range(2)
    ]
    made = stage("wemoe").make(models, evidence(), 0, quiet)
    assert isinstance(made.model, DynamicModel)
    weight = made.model.router[0]
    for number, member in enumerate(models):
        bias = torch.full((2,), -100.0)
        bias[number] = 100.0
        hot = replace(made.model, router=(0 * weight, bias), engine=Engine())
        np.testing.assert_allclose(hot.scores(TEXTS), member.scores(TEXTS), atol=1e-4)


def test_wemoe_is_kept_and_mixes_each_text_by_itself(
    family: list[ModelFolder], tmp_path: Path
) -> None:
    made = stage("wemoe").make(family, evidence(), 0, quiet)
    write_folder(
        tmp_path / "out",
        made.model,
        made.task,
        columns={},
        recipe={},
        scorecard=Scorecard({"accuracy": 0.5}),
        training_keys=[],
    )
    again = load_model(tmp_path / "out", Engine())
    again = replace(again, model=replace(again.model, engine=Engine()))
    ours = replace(made.model, engine=Engine()).scores(TEXTS)
    np.testing.assert_allclose(again.scores(TEXTS), ours, atol=1e-6)
    alone = np.concatenate([again.scores([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, ours, atol=1e-5)
    # Whatever arithmetic is fastest here, it gives these answers up to its rounding.
    np.testing.assert_allclose(made.model.scores(TEXTS), ours, atol=0.02)
    assert again.model.parameters == made.model.parameters > 3 * 10_000
    assert sum(made.told["mean_gates"].values()) == pytest.approx(1)
    # Half of each member for every text is the mean of their weights, of every kind of layer.
    even = replace(again.model, router=tuple(0 * part for part in again.model.router))
    soup = merged("soup", family, kind="uniform")
    (expected,) = soup(soup.encoder.collate(soup.encoder.preprocess(TEXTS[:1]))).logits.values()
    torch.testing.assert_close(even.logits(TEXTS[:1]), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", MERGES)
def test_every_merge_says_what_it_is(name: str) -> None:
    (found,) = describe({name: MERGES[name]})
    assert found.summary.endswith(".")
    assert all(option.text for option in found.options), found
