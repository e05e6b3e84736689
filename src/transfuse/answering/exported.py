"""Models that left torch: an ONNX or OpenVINO graph, what makes its inputs, and an example."""

import json
import shutil
import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.answering.base import Answerer, Open
from transfuse.answering.example import EXAMPLE, example
from transfuse.answering.runtime import Run, run_onnx, run_openvino
from transfuse.data import Role, evaluation_batches
from transfuse.errors import ModelError, Problem
from transfuse.models.images.portable import PictureInputs
from transfuse.models.portable import GraphInputs, TextInputs
from transfuse.recipe import build, spec_of
from transfuse.tasks import TASKS, Task

__all__ = [
    "ONNX",
    "OPENVINO",
    "Exported",
    "ExportedModel",
    "Files",
    "OnnxModel",
    "OpenVinoModel",
]

ONNX = "model.onnx"
OPENVINO = "openvino_model.xml"
_ABOUT = "exported.json"
_BATCH_TOKENS = 2048
"""Padded tokens of a batch, as many as a network of ours takes: they stay in cache."""

INPUTS: dict[str, type[GraphInputs]] = {"text": TextInputs, "image": PictureInputs}
"""What makes a graph's inputs, by the name that the folder gives it."""


@dataclass(frozen=True)
class Exported:
    """What an exported model says of itself.

    Args:
        tasks: What each output of the graph means, in the outputs' order.
        head: The task that is answered.
        inputs: How rows become the graph's inputs.
        parameters: Numbers that the network had.
        precision: `fp32`, `int8` or `bf16`.
    """

    tasks: Mapping[str, Task]
    head: str
    inputs: GraphInputs
    parameters: int
    precision: str = "fp32"

    def to_json(self) -> str:
        """Plain values as JSON text."""
        tasks = {name: spec_of(TASKS, task) for name, task in self.tasks.items()}
        kind = next(name for name, each in INPUTS.items() if isinstance(self.inputs, each))
        told = {**vars(self), "tasks": tasks, "inputs": {kind: self.inputs.settings()}}
        return json.dumps(told, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: Path) -> Self:
        """The inverse of `to_json`.

        Args:
            text: JSON.
            where: The file, beside which those are that the inputs are made with.
        """
        told: dict[str, Any] = json.loads(text)
        tasks = {
            name: build(TASKS, spec, f"{where}: {name}") for name, spec in told["tasks"].items()
        }
        ((kind, settings),) = told["inputs"].items()
        inputs = INPUTS[kind].of(where.parent, settings)
        return cls(**{**told, "tasks": tasks, "inputs": inputs})


@dataclass(frozen=True)
class Files:
    """A folder that files lie in, and what keeps it there.

    Args:
        path: The folder.
        scratch: Removes the folder when nothing refers to it any more. Default: it stays.
    """

    path: Path
    scratch: "_Scratch | None" = None

    @classmethod
    def fresh(cls) -> Self:
        """An empty folder that goes when nobody needs it any more."""
        scratch = _Scratch()
        return cls(scratch.path, scratch)


class _Scratch:
    """A folder that is removed with the object, or when the program ends."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="transfuse-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class ExportedModel(Answerer):
    """A graph in files, beside what makes its inputs of rows.

    Args:
        files: Where the graph is, and the files that its inputs are made with.
        about: What the graph's inputs and outputs mean.
    """

    files: Files
    about: Exported

    runtime: ClassVar[str]
    """What opens the graph."""

    graph: ClassVar[tuple[str, ...]]
    """Patterns of the names of the graph's files."""

    @abstractmethod
    def open(self, threads: int | None = None) -> Run:
        """The graph, ready to run.

        Args:
            threads: Threads of a pass. Default: as many as torch would use.

        Raises:
            ModelError: If what runs it is not installed.
        """

    @cached_property
    def _run(self) -> Run:
        return self.open()

    @property
    def reads(self) -> tuple[Role, ...]:
        """See `Answerer.reads`."""
        return self.inputs.reads

    @property
    def inputs(self) -> GraphInputs:
        """How rows become the graph's inputs."""
        return self.about.inputs

    @property
    def parameters(self) -> int:
        """The number of weights of the network that was exported."""
        return self.about.parameters

    @property
    def task(self) -> Task:
        """What is answered."""
        return self.about.tasks[self.about.head]

    @property
    def size(self) -> int:
        """Bytes of the graph's files."""
        return sum(path.stat().st_size for path in self.graph_files())

    def graph_files(self) -> list[Path]:
        """The graph's files."""
        return sorted(path for name in self.graph for path in self.files.path.glob(name))

    def beside(self, files: "Files", precision: str) -> Exported:
        """What another graph of the same inputs says of itself; its files are put beside it.

        Args:
            files: Where the other graph is.
            precision: What is said of its numbers.
        """
        for path in self.inputs.paths():
            shutil.copyfile(path, files.path / path.name)
        inputs = self.inputs.of(files.path, self.inputs.settings())
        return replace(self.about, inputs=inputs, precision=precision)

    def of_task(self, name: str) -> Self:
        """The same model answering another of its tasks.

        Args:
            name: The task.

        Raises:
            ModelError: If it has no such task.
        """
        if name not in self.about.tasks:
            known = ", ".join(self.about.tasks)
            raise ModelError(Problem(str(self.files.path), f"has no task {name!r}", known))
        return replace(self, about=replace(self.about, head=name))

    def logits(
        self, rows: Sequence[Any], *, run: Run | None = None, tokens: int = _BATCH_TOKENS
    ) -> NDArray[np.float32]:
        """The head's logits for rows, [n, outputs].

        Args:
            rows: What `Table.inputs` gives for the roles of `reads`.
            run: Another opened graph of the same inputs and outputs. Default: the model's own.
            tokens: Padded tokens of a batch at the most. Default: 2,048.
        """
        run, place = run or self._run, list(self.about.tasks).index(self.about.head)
        found = np.zeros((len(rows), self.task.outputs), np.float32)
        ready = self.inputs.preprocess(rows)
        for some in evaluation_batches(ready.lengths, tokens):
            found[some] = run(self.inputs.collate(ready.take(some)))[place]
        return found

    def scores(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """See `Answerer.scores`."""
        scores = self.task.scores(torch.from_numpy(self.logits(rows)))
        answered: NDArray[np.float64] = scores.double().numpy()
        return answered

    def save(self, folder: Path) -> None:
        """See `Answerer.save`: the graph, what makes its inputs, and `example.py`."""
        for path in [*self.graph_files(), *self.inputs.paths()]:
            if path.parent != folder:
                shutil.copyfile(path, folder / path.name)
        (folder / _ABOUT).write_text(self.about.to_json(), encoding="utf-8")
        about = self.about
        place = list(about.tasks).index(about.head)
        text = example(self.runtime, self.task.kind, place, about.inputs)
        (folder / EXAMPLE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        path = folder / _ABOUT
        return cls(Files(folder), Exported.from_json(path.read_text(encoding="utf-8"), path))


@dataclass(frozen=True)
class OnnxModel(ExportedModel):
    """An ONNX graph, for ONNX Runtime."""

    runtime = "onnxruntime"
    graph = (ONNX, f"{ONNX}.data")

    def open(self, threads: int | None = None) -> Run:
        """See `ExportedModel.open`."""
        return run_onnx(self.files.path / ONNX, threads)


@dataclass(frozen=True)
class OpenVinoModel(ExportedModel):
    """An OpenVINO graph."""

    runtime = "openvino"
    graph = (OPENVINO, OPENVINO.replace(".xml", ".bin"))

    def open(self, threads: int | None = None) -> Run:
        """See `ExportedModel.open`."""
        # What an int8 graph leaves in floating point is little; kept in 32 bits it answers the
        # same on every processor.
        return run_openvino(self.files.path / OPENVINO, self.about.precision, threads)
