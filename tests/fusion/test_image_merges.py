"""Every merge on networks of pictures: attention, convolutions, and BatchNorm."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merge_models import quiet
from picture_models import (
    SHADES,
    ancestor,
    kept,
    seen_descendant,
    seen_evidence,
    shades,
    shown,
)
from transfuse.answering import Evidence, ModelFolder
from transfuse.errors import ModelError
from transfuse.fusion.merges import MERGES
from transfuse.fusion.merges.candidates import CANDIDATES
from transfuse.fusion.merges.family import parameters_of, relate
from transfuse.fusion.merges.linear_layers import linear_layers, products_of
from transfuse.fusion.merges.regmean import regression_mean
from transfuse.models import Inference, Network
from transfuse.models.images.batch_norm import measure, normalisers
from transfuse.recipe import build
from transfuse.tasks import MultiLabel

WALKED = [(name, "small") for name in CANDIDATES if name != "wemoe"] + [
    (name, "vit") for name in ("fisher", "regmean", "regmean_pp", "wudi", "layerwise")
]
QUICK: dict[str, dict[str, Any]] = {
    "fisher": {"rows": 4},
    "wudi": {"steps": 3},
    "layerwise": {"steps": 2, "batch_size": 4},
    "task_arithmetic": {"scale": 0.5},
    "iso_c": {"scale": 0.5},
    "tsv_m": {"scale": 0.5},
}
Families = Callable[[str], list[ModelFolder]]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def source(kind: str) -> Path:
        if kind not in made:
            made[kind] = ancestor(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return source


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory, sources: Callable[[str], Path]) -> Families:
    made: dict[str, list[ModelFolder]] = {}

    def family(kind: str) -> list[ModelFolder]:
        if kind not in made:
            folder, rows = tmp_path_factory.mktemp(f"{kind}-family"), shades(24, 1)
            made[kind] = [
                seen_descendant(
                    folder / f"m{seed}",
                    sources(kind),
                    seed=seed,
                    rows=rows.take(range(seed, 24, 2)),
                )
                for seed in range(2)
            ]
        return made[kind]

    return family


def make(name: str, models: list[ModelFolder], data: Evidence | None = None, **more: Any) -> Any:
    stage = build(MERGES, {name: QUICK.get(name, {}) | more}, "merge")
    return stage.make(models, data or seen_evidence(), 0, quiet)


@pytest.mark.parametrize(("name", "kind"), WALKED)
def test_a_merge_makes_a_network_and_leaves_the_members_alone(
    name: str, kind: str, families: Families
) -> None:
    models = families(kind)
    before = [{k: v.clone() for k, v in each.model.state_dict().items()} for each in models]
    made = make(name, models)
    assert isinstance(made.model, Network)
    found = replace(models[0], model=made.model, inference=Inference(made.model)).scores(shown(2))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    assert made.told["base"] == models[0].recipe["model"]["pretrained"]["name"]
    normed = len(normalisers(made.model))
    assert made.told.get("batch_norm", {}).get("layers", 0) == normed
    assert (normed == 0) == (kind == "vit")
    for model, was in zip(models, before, strict=True):
        for key, value in model.model.state_dict().items():
            assert torch.equal(value, was[key]), f"{key} of a member has changed"


@pytest.mark.parametrize("kind", ["vit", "small", "lite"])
def test_a_merged_model_is_kept_as_a_folder(kind: str, families: Families, tmp_path: Path) -> None:
    made = make("linear", families(kind))
    again = kept(tmp_path / "out", made.model, made.task, {})
    ours = replace(again, model=made.model, inference=Inference(made.model)).scores(shown(2))
    np.testing.assert_allclose(again.scores(shown(2)), ours, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("linear", "lite"), ("regmean", "vit")]
    + [(name, "small") for name in ("fisher", "regmean", "regmean_pp", "slerp", "soup")],
)
def test_a_merge_of_one_model_with_itself_is_that_model(
    name: str, kind: str, families: Families
) -> None:
    # So are its statistics, though they are not those of the rows at hand.
    model = families(kind)[0]
    found = make(name, [model, model]).model
    for key, value in found.encoder.state_dict().items():
        wanted = model.model.encoder.state_dict()[key]
        torch.testing.assert_close(value, wanted, atol=2e-3, rtol=2e-3, msg=key)


def test_where_statistics_are_those_of_the_rows_they_still_are(
    tmp_path: Path, sources: Callable[[str], Path]
) -> None:
    rows, models = shades(12, 1), []
    for seed in range(2):
        model = seen_descendant(tmp_path / f"m{seed}", sources("small"), seed=seed, size=0.1)
        encoder = model.model.encoder
        batch = encoder.collate(encoder.preprocess(rows.inputs()))
        measure(encoder, normalisers(encoder), [batch], encoder)
        models.append(model)
    encoder = make("linear", models, Evidence(rows, shades(8, 2))).model.encoder
    found = {name: each.clone() for name, each in encoder.named_buffers()}
    measure(encoder, normalisers(encoder), [batch], encoder)
    for name, each in encoder.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            # Torch counts a variance over n - 1, which is what differs.
            torch.testing.assert_close(each, found[name], atol=2e-3, rtol=2e-2, msg=name)


def test_a_merged_layer_hands_on_the_mean_of_what_the_members_hand_on(families: Families) -> None:
    models = families("small")
    made = make("linear", models)
    encoders = [*(model.model.encoder for model in models), made.model.encoder]
    batch = encoders[0].collate(encoders[0].preprocess(seen_evidence().train.inputs()))
    seen: list[list[torch.Tensor]] = []
    for encoder in encoders:
        given: list[torch.Tensor] = []
        handles = [
            layer.register_forward_hook(
                lambda layer, _args, output, given=given: given.append(
                    (output - layer.bias[:, None, None]) / layer.weight[:, None, None]
                )
            )
            for layer in normalisers(encoder)
        ]
        with torch.no_grad():
            encoder(batch)
        for handle in handles:
            handle.remove()
        seen.append(given)
    for first, second, merged in zip(*seen, strict=True):
        for moment in (torch.mean, torch.std):
            one, two, ours = (moment(each, (0, 2, 3)) for each in (first, second, merged))
            torch.testing.assert_close(ours, (one + two) / 2, atol=1e-3, rtol=1e-3)


def test_the_report_compares_with_averaged_statistics(families: Families) -> None:
    told = make("linear", families("small")).told["batch_norm"]
    assert told.keys() == {"rows", "layers", "averaged", "measured"}
    assert told["rows"] == 12
    unjudged = Evidence(seen_evidence().train, shades(2, 2).take([]))
    assert make("linear", families("small"), unjudged).told["batch_norm"].keys() == {
        "rows",
        "layers",
    }


def test_a_convolution_of_one_pixel_is_solved_as_the_linear_layer_that_it_is(
    families: Families,
) -> None:
    models = families("small")
    made = make("regmean", models, shrinkage=0.0)
    kin = relate(models, None)
    layers = linear_layers(kin.encoder)
    pointwise = [name for name, each in layers.items() if isinstance(each, torch.nn.Conv2d)]
    assert pointwise
    assert made.told["layers"] == len(layers)
    assert 0 < made.told["share"] < 0.1
    high, wide = layers[pointwise[0]].stride
    assert (high, wide) == (2, 2)
    name = pointwise[0]
    rows = seen_evidence().train
    found = []
    for network, model in zip(kin.networks, models, strict=True):
        own = [row for row, key in enumerate(rows.row_keys()) if key in model.training_keys]
        encoder = network.encoder
        batch = encoder.collate(encoder.preprocess(rows.take(own).inputs()))
        entering: list[torch.Tensor] = []
        handle = linear_layers(encoder)[name].register_forward_pre_hook(
            lambda _module, args, entering=entering: entering.append(args[0])
        )
        products = products_of(encoder, {name: linear_layers(encoder)[name]}, [batch])
        handle.remove()
        (given,) = entering
        flat = given[:, :, ::high, ::wide].permute(0, 2, 3, 1).reshape(-1, given.shape[1])
        torch.testing.assert_close(products[name], (flat.T @ flat).double(), rtol=1e-4, atol=1e-4)
        found.append(products[name])
    wanted = regression_mean([weights[name] for weights in kin.weights], found, 0.0)
    torch.testing.assert_close(parameters_of(made.model)[name], wanted, atol=1e-4, rtol=1e-3)


def test_what_cannot_be_merged_says_so(
    families: Families, sources: Callable[[str], Path], tmp_path: Path
) -> None:
    models = families("small")
    with pytest.raises(ModelError, match=r"reads image.*expected a text encoder"):
        make("wemoe", models)
    with pytest.raises(ModelError, match="was trained from"):
        make("soup", [models[0], families("vit")[0]])
    with pytest.raises(ModelError, match="is ViTModel of"):
        make("soup", families("vit"), base=str(sources("small")))
    larger = seen_descendant(tmp_path / "larger", sources("small"), seed=1, pixels=48)
    with pytest.raises(ModelError, match="another size or normalisation"):
        make("soup", [models[0], larger])
    far = seen_descendant(tmp_path / "far", sources("small"), seed=1, size=1.0)
    with pytest.raises(ModelError, match="of the ancestor's length away"):
        make("soup", [models[0], far])


def test_heads_of_other_labels_stand_side_by_side(
    sources: Callable[[str], Path], tmp_path: Path
) -> None:
    first = seen_descendant(tmp_path / "a", sources("vit"), seed=0, labels=("x", "y"))
    second = seen_descendant(tmp_path / "b", sources("vit"), seed=1, labels=("z", "y", "w"))
    made = make("soup", [first, second], seen_evidence(labels=("x", "y", "z", "w")), kind="uniform")
    assert made.task.label_names == ("x", "y", "z", "w")
    one, two, both = (
        each.heads["target"].classifier.weight for each in (first.model, second.model, made.model)
    )
    torch.testing.assert_close(both, torch.stack([one[0], (one[1] + two[1]) / 2, two[0], two[2]]))


def test_several_labels_merge_too(sources: Callable[[str], Path], tmp_path: Path) -> None:
    task = MultiLabel(labels=SHADES)
    models = [
        seen_descendant(tmp_path / f"m{seed}", sources("vit"), seed=seed, task=task)
        for seed in range(2)
    ]
    rows = shades(12, 1, said=[["dark"], ["light"], ["dark", "light"]] * 4)
    made = make("task_arithmetic", models, Evidence(rows, rows), scale=None)
    assert made.task == task


def test_the_best_merge_is_judged_on_pictures(families: Families) -> None:
    models = families("vit")
    made = make("best", models, candidates=("linear",))
    points = made.told["frontier"]["points"]
    assert {point["kind"] for point in points} == {"single", "merge", "ensemble"}
    assert made.told["rows"]["judged"] == 4
