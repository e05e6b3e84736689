"""Graphs of image encoders: any batch and size, 8 bits, and folders that run without us."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_graphs import silent
from tiny_pictures import encoded, photo, shaken, tiny_lite
from transfuse.answering import Evidence, ModelFolder, load_model, write_folder
from transfuse.answering.example import example
from transfuse.answering.exported import ONNX, OnnxModel
from transfuse.compression.export import greatest_difference, to_onnx
from transfuse.compression.invariance import batch_invariance
from transfuse.compression.quantise import Int8
from transfuse.compression.trim_vocabulary import TrimVocabulary
from transfuse.data import Role, Table
from transfuse.data.images import Pictures
from transfuse.errors import DataError, ModelError
from transfuse.evaluation import Scorecard
from transfuse.explaining import Grid, explain
from transfuse.models import Engine, LinearHead, Network
from transfuse.models.images import ImageEncoder
from transfuse.models.images.portable import PictureInputs
from transfuse.models.images.processing import Processing, default_settings
from transfuse.tasks import Classification

pytest.importorskip("onnxscript")
transformers = pytest.importorskip("transformers")

LABELS = ("cat", "dog", "owl")
TASK = Classification(labels=LABELS)
FILES = [encoded(photo(seed, 40 + 7 * (seed % 4), 50)) for seed in range(40)]


def network(backbone: torch.nn.Module, size: int = 32) -> Network:
    encoder = ImageEncoder(backbone, backbone.config, Processing.read(default_settings(size)))
    head = LinearHead(encoder.dim, len(LABELS), labels=LABELS)
    made = Network({"image": encoder}, {"target": head}).eval()
    with torch.no_grad():
        head.classifier.weight.mul_(3)
        batch = encoder.collate(encoder.preprocess(FILES))
        head.classifier.bias.sub_(made(batch).logits["target"].mean(0))
    return made


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A folder of a small convolutional network."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[128, 192], depths=[1, 1])
    folder = tmp_path_factory.mktemp("pictures") / "model"
    made = network(shaken(transformers.ResNetModel(config)).eval())
    return written(made, folder)


@pytest.fixture(scope="module")
def graph(opened: ModelFolder) -> OnnxModel:
    return to_onnx(opened.model, {"target": TASK}, "target")  # type: ignore[arg-type]


def written(model: Network | OnnxModel, folder: Path) -> ModelFolder:
    write_folder(
        folder,
        model,
        TASK,
        columns={"image": "image", "label": "label"},
        recipe={"name": "small"},
        scorecard=Scorecard({"accuracy": 1.0}, temperature=1.5),
        training_keys=[],
    )
    return load_model(folder, Engine())


def labelled(folder: ModelFolder, files: list[bytes]) -> Table:
    rows = {"image": files, "label": folder.predict(files)}
    return Table.from_dict(rows, roles={"image": "image", "label": "label"})


def axes(model: OnnxModel) -> list[str | int]:
    import onnx

    (value,) = onnx.load(model.files.path / ONNX).graph.input
    assert value.name == "pixel_values"
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_convolutions_take_any_batch_and_any_size(opened: ModelFolder, graph: OnnxModel) -> None:
    made = opened.model
    assert isinstance(made, Network)
    assert axes(graph) == ["batch", 3, "height", "width"]
    assert greatest_difference(made, graph, FILES) < 1e-4
    pixels = torch.rand(2, 3, 45, 71)
    with torch.no_grad():
        wanted = made({"pixels": pixels}).logits["target"].numpy()
    (found,) = graph.open(1)({"pixel_values": pixels.numpy()})
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_tokens_of_patches_take_any_batch_of_one_size() -> None:
    config = transformers.ViTConfig(
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 16, "image_size": 16, "patch_size": 8},
    )
    torch.manual_seed(0)
    made = network(transformers.ViTModel(config).eval(), 16)
    graph = to_onnx(made, {"target": TASK}, "target")
    assert axes(graph) == ["batch", 3, 16, 16]
    assert greatest_difference(made, graph, FILES) < 1e-4


def test_padding_that_goes_by_the_size_fixes_it(tmp_path: Path) -> None:
    encoder = network(tiny_lite()).encoder
    portable = encoder.portable(tmp_path)
    assert portable is not None
    assert portable.axes == {"pixel_values": ("batch",)}
    assert portable.other is None


def test_the_folder_answers_alike_and_runs_without_us(
    opened: ModelFolder, graph: OnnxModel, tmp_path: Path
) -> None:
    again = written(graph, tmp_path / "model")
    assert again.reads == (Role.IMAGE,)
    np.testing.assert_allclose(again.scores(FILES), opened.scores(FILES), atol=1e-4)
    assert again.scores([]).shape == (0, 3)
    said = json.loads((tmp_path / "model" / "preprocessor_config.json").read_text("utf-8"))
    assert said["image_mean"] == default_settings(32)["image_mean"]
    for number, content in enumerate(FILES[:3]):
        (tmp_path / f"{number}.png").write_bytes(content)
    program = tmp_path / "model" / "example.py"
    assert "import transfuse" not in program.read_text(encoding="utf-8")
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), *names],
        **{"capture_output": True, "text": True, "check": True, "encoding": "utf-8"},
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    found = [[one[label] for label in LABELS] for one in told]
    np.testing.assert_allclose(found, opened.scores(FILES[:3]), atol=1e-4)


def test_every_way_to_a_square_has_an_example(tmp_path: Path) -> None:
    for settings in (
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}},
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}},
    ):
        processing = Processing.read(settings)
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
        inputs = PictureInputs(tmp_path)
        # What stands between the pictures and the graph, run as it is.
        text = example("onnxruntime", "classification", 0, inputs)
        lines = text.splitlines()
        first = next(n for n, line in enumerate(lines) if line.startswith("pictures = ["))
        last = next(n for n, line in enumerate(lines) if line.startswith("session"))
        images = [photo(seed) for seed in range(3)]
        space = {"np": np, "pictures": images}
        exec("\n".join(lines[first + 1 : last]), space)
        wanted = inputs.collate(inputs.preprocess(images))["pixel_values"]
        np.testing.assert_allclose(space["inputs"]["pixel_values"], wanted, atol=1e-5)
        assert wanted.shape == (3, 3, processing.size, processing.size)


@pytest.fixture(scope="module")
def coarse(opened: ModelFolder, graph: OnnxModel) -> tuple[OnnxModel, dict[str, object]]:
    folder = replace(opened, model=graph)
    rows = Evidence(labelled(opened, FILES[:24]), labelled(opened, FILES[20:]))
    made = Int8(tolerance=0.2).make([folder], rows, 0, silent)
    assert isinstance(made.model, OnnxModel)
    return made.model, dict(made.told)


def test_int8_is_calibrated_on_rows_that_it_is_not_chosen_by(
    graph: OnnxModel, coarse: tuple[OnnxModel, dict[str, object]]
) -> None:
    model, told = coarse
    # Four of the training rows are validation rows too.
    assert told["rows"] == 20
    assert model.size < 0.5 * graph.size
    spread = graph.logits(FILES).std()
    assert 0 < np.abs(model.logits(FILES) - graph.logits(FILES)).mean() < 0.2 * spread
    assert told["batch_invariant"]
    assert batch_invariance(model, FILES[:6]) < 1e-6


def test_a_kept_convolution_is_as_exact_as_before(opened: ModelFolder, graph: OnnxModel) -> None:
    from transfuse.compression.onnx_graph import read_graph
    from transfuse.compression.qdq import calibrated, convolutional, convolved

    plain = read_graph(graph.files.path / ONNX)
    assert convolutional(plain)
    layers = convolved(plain)
    assert len(layers) > 3
    assert not any("classifier" in name for name in layers)
    rows = Pictures.of(FILES[:8])

    def kinds(kept: list[str]) -> list[str]:
        made = calibrated(graph, rows, kept, 8)
        known = {node.name: node for node in made.graph.node}
        return [name for name in layers if "Dequantize" in known[name].input[1]]

    assert kinds([]) == layers
    assert kinds(layers[:2]) == layers[2:]


def test_a_broken_picture_is_named_by_its_row(graph: OnnxModel) -> None:
    with pytest.raises(DataError, match=r"row 2.*not a picture"):
        graph.scores(Pictures.of([FILES[0], b"no picture", FILES[1]]))


def test_what_is_for_texts_says_so(opened: ModelFolder) -> None:
    rows = labelled(opened, FILES[:4])
    with pytest.raises(ModelError, match=r"reads image.*a model that reads texts"):
        TrimVocabulary().make([opened], Evidence(rows, rows), 0, silent)


def test_one_picture_is_answered_at_the_command_line(
    opened: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transfuse.cli.app import main

    (tmp_path / "photo.png").write_bytes(FILES[0])
    asked = ["predict", str(opened.path), "--image"]
    assert main([*asked, str(tmp_path / "photo.png")]) == 0
    assert opened.predict(FILES[:1])[0] in capsys.readouterr().out
    (tmp_path / "photo.jpg").write_bytes(FILES[0][:200])
    for wrong, told in (("photo.jpg", "cut off"), ("none.png", "cannot be read")):
        assert main([*asked, str(tmp_path / wrong)]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert main(["predict", str(opened.path), "--text", "a cat"]) == 2
    assert "reads image" in " ".join(capsys.readouterr().err.split())


def test_a_graph_is_explained_by_occlusion_alone(opened: ModelFolder, graph: OnnxModel) -> None:
    folder = replace(opened, model=graph)
    grid = Grid(patches=3)
    found, plain = (explain(one, FILES[0], grid=grid) for one in (folder, opened))
    assert found.label == plain.label
    assert [each.weight for each in found.patches] == pytest.approx(
        [each.weight for each in plain.patches], abs=1e-3
    )
    with pytest.raises(ModelError, match="Use the method occlusion"):
        explain(folder, FILES[0], method="integrated_gradients")
