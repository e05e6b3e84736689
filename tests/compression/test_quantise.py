"""Fewer bits: bounded errors, smaller files, the same answer in any company, worst layers kept."""

import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small_graphs import as_folder, classifier, evidence, head_mean, labelled, silent, texts
from transfuse.answering import Evidence, ModelFolder, load_model
from transfuse.answering.exported import ONNX, OnnxModel, OpenVinoModel
from transfuse.answering.runtime import run_onnx
from transfuse.compression.bfloat16 import BFloat16
from transfuse.compression.export import onnx_model
from transfuse.compression.invariance import batch_invariance
from transfuse.compression.openvino_int8 import OpenVino
from transfuse.compression.quantise import Int8, with_graph
from transfuse.compression.sensitivity import Search, logit_error, score_loss
from transfuse.errors import ModelError
from transfuse.tasks import Classification, Regression

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from transfuse.compression.onnx_graph import (  # noqa: E402 - needs onnx
    products,
    quantised,
    read_graph,
    tables,
)

# The arithmetic


def product(weight: np.ndarray, *, gemm: bool) -> Any:
    """A graph of one product: rows times a weight, plus 1 as a Gemm has it."""
    from onnx import TensorProto, helper, numpy_helper

    inputs, tensors = (
        ["x", "w"],
        [numpy_helper.from_array(weight.T.copy() if gemm else weight, "w")],
    )
    if gemm:
        inputs.append("b")
        tensors.append(numpy_helper.from_array(np.ones(weight.shape[1], np.float32), "b"))
    options = {"transB": 1} if gemm else {}
    node = helper.make_node("Gemm" if gemm else "MatMul", inputs, ["y"], name="layer", **options)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weight.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weight.shape[1]])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answer(model: Any, rows: np.ndarray) -> np.ndarray:
    return run_onnx(model.SerializeToString())({"x": rows})[0]


@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    bits=st.sampled_from([7, 8]),
    gemm=st.booleans(),
)
def test_a_product_is_off_by_no_more_than_its_steps(
    seed: int, scale: float, bits: int, gemm: bool
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((24, 16)).astype(np.float32)
    weight[:, 0] = 0
    rows = (rng.standard_normal((5, 24)) * scale).astype(np.float32)
    rows[0] = 0
    model = product(weight, gemm=gemm)
    found = answer(quantised(model, ["layer"], bits), rows)
    wanted = answer(model, rows)
    step_x = np.abs(rows).max(1, keepdims=True) / 127
    step_w = np.abs(weight).max(0, keepdims=True) / (2 ** (bits - 1) - 1)
    bound = (
        np.abs(rows).sum(1, keepdims=True) * step_w / 2
        + step_x / 2 * np.abs(weight).sum(0, keepdims=True)
        + step_x * step_w / 4 * len(weight)
    )
    assert (np.abs(found - wanted) <= bound * 1.001 + 1e-5).all()


def test_rows_do_not_see_each_other() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((24, 16)).astype(np.float32)
    model = quantised(product(weight, gemm=False), ["layer"])
    rows = rng.standard_normal((4, 24)).astype(np.float32)
    loud = rows.copy()
    loud[1:] *= 1000
    np.testing.assert_array_equal(answer(model, rows)[0], answer(model, loud)[0])


def test_narrow_products_stay_as_they_are() -> None:
    narrow = product(np.ones((24, 2), np.float32), gemm=False)
    assert products(narrow) == []
    assert [node.op_type for node in quantised(narrow, ["layer"]).graph.node] == ["MatMul"]


# Whole models

OUTLIER = "encoder.layer.1.intermediate.dense"


@pytest.fixture(scope="module")
def outlier_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model of which one layer reads a channel that drowns all others."""
    folder = tmp_path_factory.mktemp("outlier")
    network = classifier(folder / "start")
    norm = network.encoder.backbone.encoder.layer[1].attention.output.LayerNorm  # type: ignore[union-attr]
    with torch.no_grad():
        norm.weight[3] *= 300
        norm.bias[3] += 300
        block = network.encoder.backbone.encoder.layer[1]  # type: ignore[union-attr]
        block.intermediate.dense.weight[:, 3] = 0
        block.output.LayerNorm.weight[3] = 0
        network.heads["target"].classifier.bias.sub_(head_mean(network))  # type: ignore[union-attr]
    opened = as_folder(network, folder / "model")
    return replace(opened, model=onnx_model(opened))


@pytest.fixture
def small_graph(small_folder: ModelFolder, small_onnx: OnnxModel) -> ModelFolder:
    """The small folder with its graph, which spares each test an export."""
    return replace(small_folder, model=small_onnx)


def test_int8_is_smaller_and_nearly_the_same(
    small_graph: ModelFolder, small_onnx: OnnxModel
) -> None:
    made = Int8(tolerance=0.1).make([small_graph], evidence(small_graph), 0, silent)
    assert isinstance(made.model, OnnxModel)
    told = made.told
    assert made.model.size == told["bytes"] < 0.6 * told["bytes_before"]
    assert 0 < told["logit_error"] < 0.02
    asked = texts(60, seed=9)
    agree = made.model.scores(asked).argmax(1) == small_onnx.scores(asked).argmax(1)
    assert agree.mean() > 0.9
    assert told["batch_invariant"]
    assert batch_invariance(made.model, texts(6)) < 1e-5
    assert made.model.scores([]).shape == (0, 2)


def test_a_kept_layer_makes_the_error_smaller(outlier_folder: ModelFolder) -> None:
    plain = outlier_folder.model
    assert isinstance(plain, OnnxModel)
    graph = read_graph(plain.files.path / ONNX)
    layers, asked = [*tables(graph), *products(graph)], texts(40)
    wanted = plain.logits(asked)

    def error(names: Collection[str]) -> float:
        return logit_error(with_graph(plain, quantised(graph, names), "int8").logits(asked), wanted)

    errors = {layer: error([layer]) for layer in layers}
    worst = max(errors, key=errors.__getitem__)
    assert worst == OUTLIER
    assert error([layer for layer in layers if layer != worst]) < 0.5 * error(layers)
    assert error([]) == 0


def test_int8_keeps_layers_until_the_score_is_kept(outlier_folder: ModelFolder) -> None:
    plain = outlier_folder.model
    assert isinstance(plain, OnnxModel)
    graph, asked = read_graph(plain.files.path / ONNX), texts(1500)
    every = with_graph(plain, quantised(graph, [*tables(graph), *products(graph)]), "int8")
    sides = [model.scores(asked).argmax(1) for model in (plain, every)]
    # Rows that 8 bits answer otherwise, among others: score is lost until layers are kept.
    flipped = [text for text, *both in zip(asked, *sides, strict=True) if both[0] != both[1]]
    assert len(flipped) > 10
    rows = labelled(outlier_folder, [*flipped[:20], *texts(20, 7)])
    made = Int8(tolerance=0.1, rows=20).make(
        [outlier_folder], Evidence(labelled(outlier_folder, texts(30, 1)), rows), 0, silent
    )
    told = made.told
    assert told["tries"][0]["kept"] == 0
    assert told["tries"][0]["loss"] > 0.1
    assert told["loss"] <= 0.1
    assert told["kept"][0] == next(iter(told["sensitivity"])) == OUTLIER
    assert told["bytes"] > every.size


def test_bfloat16_halves_the_file(small_folder: ModelFolder, tmp_path: Path) -> None:
    made = BFloat16(tolerance=0.2).make([small_folder], evidence(small_folder), 0, silent)
    opened = as_folder(made.model, tmp_path / "half")  # type: ignore[arg-type]
    sizes = [
        (folder.path / "model.safetensors").stat().st_size for folder in (opened, small_folder)
    ]
    assert sizes[0] < 0.6 * sizes[1]
    asked = texts(30, seed=3)
    np.testing.assert_allclose(opened.scores(asked), small_folder.scores(asked), atol=0.05)
    assert 0 < made.told["greatest_difference"] < 0.1
    assert made.told["faster_here"] == ("bfloat16" in made.told["arithmetic_here"])


def test_openvino_is_calibrated_and_runs_without_us(
    small_graph: ModelFolder, small_folder: ModelFolder, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    from transfuse.answering import write_folder

    rows = evidence(small_folder)
    made = OpenVino(tolerance=0.1, rows=20).make([small_graph], rows, 0, silent)
    assert isinstance(made.model, OpenVinoModel)
    assert 0 < made.told["logit_error"] < 0.05
    assert made.told["batch_invariant"]
    write_folder(
        tmp_path / "ov",
        made.model,
        made.task,
        columns={"text": "text"},
        recipe={},
        scorecard=small_folder.scorecard,
        training_keys=[],
    )
    opened = load_model(tmp_path / "ov")
    asked = [*texts(10), "", "中文"]
    np.testing.assert_allclose(opened.scores(asked), small_folder.scores(asked), atol=0.2)
    assert opened.scores([]).shape == (0, 2)
    command = [sys.executable, "-W", "error", str(tmp_path / "ov" / "example.py"), "good film"]
    assert '"good":' in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_openvino_in_32_bits_changes_nothing(small_graph: ModelFolder) -> None:
    pytest.importorskip("openvino")
    rows = evidence(small_graph, 10, 10)
    made = OpenVino(precision="fp32", rows=10).make([small_graph], rows, 0, silent)
    assert made.told["logit_error"] < 1e-8
    assert made.told["loss"] == 0


@pytest.mark.parametrize("kind", [Int8, OpenVino, BFloat16])
def test_options_are_checked(kind: Any) -> None:
    with pytest.raises(ValueError, match="tolerance is at least 0"):
        kind(tolerance=-0.1)


# The search


class Layers:
    """Ten layers, of which each costs a known loss where it has few bits."""

    losses: ClassVar = {f"layer {number}": 0.001 * number for number in range(10)}

    def search(self, tolerance: float, floor: float = 0.0) -> Search[frozenset[str]]:
        def loss(kept: frozenset[str]) -> float:
            return floor + sum(cost for name, cost in self.losses.items() if name not in kept)

        return Search(
            layers=list(self.losses),
            make=frozenset,
            judge=lambda kept: (1 - loss(kept), loss(kept)),
            alone=self.losses.__getitem__,
            tolerance=tolerance,
            tell=silent,
        )


@given(st.floats(0, 0.05))
def test_no_more_layers_are_kept_than_must_be(tolerance: float) -> None:
    kept, told = Layers().search(tolerance).run()
    assert told["loss"] <= tolerance
    assert told["kept"] == [f"layer {9 - place}" for place in range(len(kept))]
    if kept:
        # One fewer, of the worst ones, would not have been enough.
        fewer = 0.001 * sum(range(10)) - sum(Layers.losses[name] for name in told["kept"][:-1])
        assert fewer > tolerance
    assert len(told["tries"]) <= 10


def test_errors_are_measured_when_they_are_needed_or_wanted() -> None:
    assert Layers().search(1.0).run()[1]["sensitivity"] == {}
    errors = Layers().search(1.0).run(always=True)[1]["sensitivity"]
    assert next(iter(errors)) == "layer 9"
    assert len(errors) == 10


def test_a_score_that_cannot_be_kept_is_an_error() -> None:
    with pytest.raises(ModelError, match="even with all 10 layers kept"):
        Layers().search(0.01, floor=0.02).run()


def test_loss_follows_the_direction_of_the_metric() -> None:
    task = Classification(labels=("a", "b"))
    right, wrong = np.array([[0.9, 0.1]] * 4), np.array([[0.1, 0.9]] * 4)
    assert score_loss(task, wrong, right, np.zeros(4, np.int64)) == (0.0, 1.0)
    number = Regression(mean=0.0, deviation=1.0)
    values = np.arange(4.0)[:, None]
    score, loss = score_loss(number, values + 1, values, values[:, 0])
    assert score < 1
    assert loss > 0
