"""Export: every shape of network, checked on rows, with nothing of this machine in the file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from small_graphs import LABELS, classifier, evidence, silent, texts
from tiny_models import save_tiny
from transfuse.answering import Evidence, ModelFolder, load_model
from transfuse.answering.exported import ONNX, OnnxModel
from transfuse.compression import export as exporting
from transfuse.compression.export import Onnx, export, greatest_difference, to_onnx
from transfuse.compression.invariance import batch_invariance, invariance_told
from transfuse.compression.quantise import with_graph
from transfuse.compression.rows import rows_to_choose, rows_to_fit
from transfuse.compression.sensitivity import logit_error
from transfuse.data import Role, Table
from transfuse.errors import DataError, ModelError
from transfuse.models import (
    Engine,
    LinearHead,
    Network,
    StaticEncoder,
    Store,
    distil_static,
    load_encoder,
    load_network,
)
from transfuse.models.fusion import FUSIONS
from transfuse.tasks import Classification, Regression, Task

pytest.importorskip("onnxscript")

MOOD = Classification(labels=LABELS)
TEXT = (Role.TEXT,)


@pytest.fixture
def exported_once(monkeypatch: pytest.MonkeyPatch, small_onnx: OnnxModel) -> None:
    """The graph of the small folder is there already: making it takes seconds."""
    monkeypatch.setattr(exporting, "onnx_model", lambda folder: small_onnx)


def agrees(network: Network, tasks: dict[str, Task]) -> dict[str, OnnxModel]:
    """The exported model for each task, after its answers were found to be the network's."""
    first = to_onnx(network, tasks, next(iter(tasks)))
    models = {name: first.of_task(name) for name in tasks}
    for model in models.values():
        assert greatest_difference(network, model, texts(40)) < 1e-4
    return models


def test_a_decoder_with_its_own_head(tmp_path: Path) -> None:
    network = load_network(save_tiny("gpt2", tmp_path, head=True))
    (name,) = network.heads
    agrees(network, {name: MOOD})


def test_a_bag_of_token_vectors(tmp_path: Path) -> None:
    from transfuse.compression.onnx_graph import quantised, read_graph, tables

    pretrained = load_encoder(save_tiny("bert", tmp_path))
    encoder = distil_static(pretrained, store=Store(tmp_path / "kept"), engine=Engine(), dim=24)
    assert isinstance(encoder, StaticEncoder)
    network = Network.for_text(encoder, {"target": LinearHead(encoder.dim, 2)}).eval()
    (model,) = agrees(network, {"target": MOOD}).values()
    assert model.scores(["", "   "]).shape == (2, 2)
    graph = read_graph(model.files.path / ONNX)
    coarse = with_graph(model, quantised(graph, tables(graph)), "int8")
    assert coarse.size < 0.7 * model.size
    assert logit_error(coarse.logits(texts(40)), model.logits(texts(40))) < 1e-3


def test_several_tasks_are_outputs_of_one_graph(tmp_path: Path) -> None:
    encoder = load_encoder(save_tiny("distilbert", tmp_path), pooling="mean")
    heads = {"mood": LinearHead(encoder.dim, 2), "stars": LinearHead(encoder.dim, 1, seed=1)}
    fusion = FUSIONS["mmoe"]().build(encoder.dim, tuple(heads), seed=0)
    network = Network({"text": encoder}, heads, fusion).eval()
    stars = Regression(mean=3.0, deviation=2.0)
    models = agrees(network, {"mood": MOOD, "stars": stars})
    assert models["mood"].files.path == models["stars"].files.path
    assert models["mood"].scores(["good"]).sum() == pytest.approx(1.0)
    logits = models["stars"].logits(["good"])
    assert models["stars"].scores(["good"]) == pytest.approx(logits * 2.0 + 3.0)


def test_nothing_of_this_machine_is_in_the_graph(small_onnx: OnnxModel) -> None:
    content = (small_onnx.files.path / ONNX).read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).resolve().parents[2]).encode() not in content


def test_axes_and_products_have_names(small_onnx: OnnxModel) -> None:
    from transfuse.compression.onnx_graph import products, read_graph, tables

    model = read_graph(small_onnx.files.path / ONNX)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {
        "input_ids": ["batch", "length"],
        "attention_mask": ["batch", "length"],
        "target": ["batch", 2],
    }
    assert "encoder.layer.0.attention.self.query" in products(model)
    assert "embeddings.word_embeddings" in tables(model)


@pytest.mark.usefixtures("exported_once")
def test_the_stage_tells_what_it_checked(small_folder: ModelFolder) -> None:
    made = Onnx(rows=20).make([small_folder], evidence(small_folder), 0, silent)
    assert isinstance(made.model, OnnxModel)
    assert made.told["checked_rows"] == 20
    assert made.told["greatest_difference"] < 1e-4
    assert made.told["batch_invariant"]


@pytest.mark.usefixtures("exported_once")
def test_a_graph_that_answers_otherwise_is_refused(
    small_folder: ModelFolder, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="logits differ by up to"):
        export(small_folder.path, tmp_path / "out", tolerance=1e-15)
    assert not (tmp_path / "out").exists()


def test_other_weights_are_seen(
    small_folder: ModelFolder, small_onnx: OnnxModel, tmp_path: Path
) -> None:
    other = classifier(tmp_path)
    with torch.no_grad():
        next(other.encoder.parameters()).mul_(1.01)
    assert greatest_difference(small_folder.model, small_onnx, texts(20)) < 1e-4  # type: ignore[arg-type]
    assert greatest_difference(other, small_onnx, texts(20)) > 1e-3


@pytest.mark.usefixtures("exported_once")
def test_export_writes_a_folder_that_answers_alike(
    small_folder: ModelFolder, tmp_path: Path
) -> None:
    told = export(small_folder.path, tmp_path / "out")
    assert told["checked_rows"]
    opened = load_model(tmp_path / "out")
    assert opened.scorecard.metrics == small_folder.scorecard.metrics
    assert opened.scorecard.costs == {}, "what the network cost says nothing of the graph"
    asked = texts(30, seed=5)
    np.testing.assert_allclose(opened.scores(asked), small_folder.scores(asked), atol=1e-4)


def test_what_is_no_network_is_refused(small_folder: ModelFolder, small_onnx: OnnxModel) -> None:
    rows = evidence(small_folder, 4, 4)
    coarse = replace(small_onnx, about=replace(small_onnx.about, precision="int8"))
    with pytest.raises(ModelError, match="onnxruntime in int8"):
        Onnx().make([replace(small_folder, model=coarse)], rows, 0, silent)


@pytest.mark.parametrize("options", [{"rows": 0}, {"tolerance": 0.0}])
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is"):
        Onnx(**options)  # type: ignore[arg-type]


# Rows to fit on


def labelled(rows: Sequence[str]) -> Table:
    return Table.from_dict({"text": list(rows), "label": ["a", "b"] * (len(rows) // 2)}, roles={})


def test_calibration_rows_are_never_rows_that_are_chosen_by() -> None:
    rows = [f"text {number}" for number in range(40)]
    mixed = Evidence(labelled(rows), labelled(rows[10:30]))
    found = rows_to_fit(mixed, TEXT, 100, 0, "test")
    assert sorted(found) == sorted([*rows[:10], *rows[30:]])
    assert rows_to_fit(mixed, TEXT, 5, 0, "test") == rows_to_fit(mixed, TEXT, 5, 0, "test")
    assert set(rows_to_fit(mixed, TEXT, 5, 0, "test")) <= set(found)
    with pytest.raises(DataError, match="every training row is a validation row"):
        rows_to_fit(Evidence(labelled(rows[:10]), labelled(rows)), TEXT, 5, 0, "test")


def test_without_validation_rows_nothing_is_chosen() -> None:
    rows = labelled(["one", "two"])
    with pytest.raises(DataError, match="validation"):
        rows_to_choose(Evidence(rows, rows.take([])), 5, 0)


# Batch invariance


class Swayed:
    """Answers by the longest text of those that share its batch, as far as it is told to."""

    def __init__(self, share: float) -> None:
        self.share = share

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        lengths = np.array([len(text) for text in texts], dtype=np.float64)
        return (lengths / 1e3 + self.share * lengths.max())[:, None]


def test_a_model_that_minds_its_neighbours_is_flagged() -> None:
    assert batch_invariance(Swayed(0.0), texts(10)) == 0.0
    assert batch_invariance(Swayed(1e-4), texts(10)) > 1e-3
    told = invariance_told(Swayed(1e-4), texts(10))
    assert not told["batch_invariant"]
    assert told["batch_difference"] > told["batch_tolerance"]
    assert invariance_told(Swayed(0.0), texts(10))["batch_invariant"]
    assert batch_invariance(Swayed(1.0), ["alone"]) == 0.0


def test_a_network_minds_nobody(small_folder: ModelFolder) -> None:
    assert batch_invariance(small_folder, texts(8)) < 1e-5
