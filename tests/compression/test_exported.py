"""An exported model answers as its network does, whatever it is asked, and runs without us."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_graphs import LABELS, ODD, texts
from transfuse.answering import ModelFolder, load_model, write_folder
from transfuse.answering import runtime as runtimes
from transfuse.answering.exported import OnnxModel
from transfuse.answering.runtime import usable_threads
from transfuse.errors import ModelError
from transfuse.tasks import MultiLabel, Regression, Task

pytest.importorskip("onnxruntime")


def save(model: OnnxModel, like: ModelFolder, folder: Path) -> ModelFolder:
    write_folder(
        folder,
        model,
        like.task,
        columns={"text": "text"},
        recipe={},
        scorecard=like.scorecard,
        training_keys=[],
    )
    return load_model(folder)


def test_it_answers_as_its_network_does(small_folder: ModelFolder, small_onnx: OnnxModel) -> None:
    plain = replace(small_folder, temperature=1.0)
    for asked in (texts(50), ODD, ["good"], ["good"] * 33, [" ".join(texts(9))]):
        found = small_onnx.scores(asked)
        assert found.shape == (len(asked), 2)
        np.testing.assert_allclose(found, plain.scores(asked), atol=1e-4)


def test_a_batch_may_have_any_size_and_length(small_onnx: OnnxModel) -> None:
    asked = texts(40)
    whole = small_onnx.logits(asked)
    for tokens in (1, 50, 10**6):
        np.testing.assert_allclose(small_onnx.logits(asked, tokens=tokens), whole, atol=1e-5)


def test_nothing_asked_is_nothing_answered(small_onnx: OnnxModel) -> None:
    assert small_onnx.scores([]).shape == (0, 2)


def test_it_tokenises_as_its_network_does(small_folder: ModelFolder, small_onnx: OnnxModel) -> None:
    network = small_folder.model
    asked = [*texts(20), *ODD]
    wanted = network.encoder.preprocess(asked)  # type: ignore[union-attr]
    found = small_onnx.inputs.preprocess(asked)
    assert [row.tolist() for row in found] == [row.tolist() for row in wanted]


def test_a_folder_keeps_it(
    small_folder: ModelFolder, small_onnx: OnnxModel, tmp_path: Path
) -> None:
    opened = save(small_onnx, small_folder, tmp_path / "model")
    asked = [*texts(20), *ODD]
    np.testing.assert_array_equal(opened.model.scores(asked), small_onnx.scores(asked))  # type: ignore[union-attr]
    # Calibration is the folder's affair, as with any model.
    np.testing.assert_allclose(opened.scores(asked), small_folder.scores(asked), atol=1e-4)
    assert opened.model.parameters == small_onnx.parameters  # type: ignore[union-attr]


def test_the_example_runs_without_us(
    small_folder: ModelFolder, small_onnx: OnnxModel, tmp_path: Path
) -> None:
    opened = save(small_onnx, small_folder, tmp_path / "model")
    program = tmp_path / "model" / "example.py"
    text = program.read_text(encoding="utf-8")
    assert "import transfuse" not in text
    assert "import torch" not in text
    asked = ["good film", "中文 bad", "the book was not very fine but it is so"]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), *asked],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["text"] for one in told] == asked
    found = [[one["bad"], one["good"]] for one in told]
    np.testing.assert_allclose(found, opened.scores(asked), atol=1e-5)


@pytest.mark.parametrize("task", [MultiLabel(labels=LABELS), Regression(mean=3.0, deviation=2.0)])
def test_the_example_knows_every_kind_of_task(
    task: Task, small_folder: ModelFolder, small_onnx: OnnxModel, tmp_path: Path
) -> None:
    model = replace(small_onnx, about=replace(small_onnx.about, tasks={"target": task}))
    opened = save(model, replace(small_folder, task=task), tmp_path / "model")
    command = [sys.executable, str(tmp_path / "model" / "example.py"), "good film"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    wanted = task.scores(torch.from_numpy(small_onnx.logits(["good film"])))[0, 0]
    assert told[task.label_names[0]] == pytest.approx(float(wanted), abs=1e-5)
    assert isinstance(opened.model, OnnxModel)
    assert opened.model.task == task


def test_a_task_that_is_not_there_is_an_error(small_onnx: OnnxModel) -> None:
    assert small_onnx.of_task("target").about == small_onnx.about
    with pytest.raises(ModelError, match="no task 'mood'"):
        small_onnx.of_task("mood")


def test_a_missing_library_is_named_with_its_extra(
    small_onnx: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"onnxruntime: is not installed.*transfuse\[export\]"):
        replace(small_onnx).scores(["good"])
    with pytest.raises(ModelError, match=r"transfuse\[openvino\]"):
        runtimes.has_bfloat16()


def test_threads_are_those_that_torch_was_given() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert usable_threads() == 1
    torch.set_num_threads(before)
