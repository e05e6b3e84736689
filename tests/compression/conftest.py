"""One tiny classifier and its ONNX graph, which several tests read."""

import pytest

from small_graphs import as_folder, classifier
from transfuse.answering import ModelFolder
from transfuse.answering.exported import OnnxModel


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("small")
    return as_folder(classifier(folder / "start"), folder / "model")


@pytest.fixture(scope="session")
def small_onnx(small_folder: ModelFolder) -> OnnxModel:
    pytest.importorskip("onnxscript")
    from transfuse.compression.export import onnx_model

    return onnx_model(small_folder)
