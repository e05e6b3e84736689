"""A network as an ONNX graph with dynamic axes, checked numerically on rows after export."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell, load_model, write_folder
from transfuse.answering.about import read_about
from transfuse.answering.exported import ONNX, Exported, ExportedModel, Files, OnnxModel
from transfuse.answering.runtime import need, run_onnx
from transfuse.compression.invariance import invariance_told
from transfuse.compression.rows import rows_to_fit
from transfuse.errors import ModelError, Problem
from transfuse.models import Engine, Feeds, Inference, Network, read_inputs
from transfuse.models.portable import Portable
from transfuse.tasks import Task

__all__ = ["Onnx", "export", "greatest_difference", "onnx_model", "to_onnx"]

_TOLERANCE = 1e-4

_MADE_UP = 64


@dataclass(frozen=True)
class Onnx(Stage):
    """The network as an ONNX graph in 32 bits, for ONNX Runtime.

    Batch and length are dynamic axes, of pictures batch, and height and width where convolutions
    do all the work; several tasks are several outputs of one graph. The graph's logits are compared
    with the network's on training rows, one by one and in batches.
    """

    rows: int = 256
    """Training rows that the graph is checked on. Default: 256."""

    tolerance: float = _TOLERANCE
    """Greatest difference of a logit from the network's, as a share of the largest logit where
    that is above 1; a larger one is an error. Default: 0.0001."""

    learns: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError("rows is at least 1")
        if not self.tolerance > 0:
            raise ValueError("tolerance is above 0")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        rows = rows_to_fit(evidence, folder.reads, self.rows, seed, "onnx")
        model, told = _checked(folder, rows, self.tolerance, tell)
        return Made(model, folder.task, told)


def export(
    folder: Path | str,
    output: Path | str,
    *,
    rows: Sequence[Any] = (),
    task: str | None = None,
    tolerance: float = _TOLERANCE,
) -> dict[str, object]:
    """Write a model folder's network again as a folder with an ONNX graph.

    The new folder answers as the old one does, with its calibration and its scorecard; it also
    holds `example.py`, which runs it without Transfuse.

    Args:
        folder: A model folder.
        output: The new folder.
        rows: Rows that the graph is checked on, as `Table.inputs` gives them. Default: rows
            without meaning.
        task: Which of several tasks it answers first; the others are outputs too. Default: the
            first.
        tolerance: As for `Onnx`.

    Returns:
        What was found out on the way, as JSON can hold it.

    Raises:
        ModelError: If the model is no network, or the graph's answers are not the network's.
    """
    opened = load_model(folder, Engine(), task=task)
    model, told = _checked(opened, rows, tolerance, lambda what, done, total: None)
    about = read_about(Path(folder))
    write_folder(
        Path(output),
        model,
        opened.task,
        columns=about["columns"],
        recipe=opened.recipe,
        scorecard=replace(opened.scorecard, costs={}),
        training_keys=sorted(opened.training_keys),
        chosen=about.get("chosen"),
        made=[*about.get("made", []), {"onnx": told}],
    )
    return told


def onnx_model(folder: ModelFolder) -> OnnxModel:
    """A model folder's network as an ONNX graph in 32 bits, not checked.

    Args:
        folder: An opened folder of a network, or of an ONNX graph.

    Raises:
        ModelError: If it is neither.
    """
    if isinstance(folder.model, OnnxModel) and folder.model.about.precision == "fp32":
        return folder.model
    if not isinstance(folder.model, Network):
        raise ModelError(
            Problem(
                str(folder.path),
                f"is {_kind(folder)}, which is not a network in 32 bits",
                "a network",
                "Export the networks that it was made of.",
            )
        )
    tasks = {name: task for name, (task, _) in folder.tasks.items()} or {folder.head: folder.task}
    return to_onnx(folder.model, tasks, folder.head)


def to_onnx(network: Network, tasks: Mapping[str, Task], head: str) -> OnnxModel:
    """A network as an ONNX graph in 32 bits, in scratch files, not checked.

    Args:
        network: One encoder with heads; it stays as it is.
        tasks: The task of each head that becomes an output.
        head: The one of them that is answered.

    Raises:
        ModelError: If what exports is not installed, the network has several encoders or one that
            no graph can be made of, or an operation of it has no counterpart.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        need(library, "export")
    from transfuse.compression.onnx_graph import tidy, write_graph

    plain, files = network.copied_as(torch.float32).cpu(), Files.fresh()
    portable = plain.encoder.portable(files.path) if len(plain.encoders) == 1 else None
    if portable is None:
        columns = ", ".join(network.encoders)
        raise ModelError(
            Problem("export", f"the network encodes {columns}", "one column of texts or pictures")
        )
    module = _Plain(plain, tuple(portable.names.values()), tuple(tasks))
    axes = portable.axes
    graph = None
    if portable.other is not None:
        graph = _bearing_other_sides(module, portable)
    if graph is None:
        if portable.other is not None:
            axes = {name: varying[:1] for name, varying in axes.items()}
        graph = _traced(module, portable, axes)
    (column,) = network.encoders
    tidy(graph, axes, (f"network.encoders.{column}.backbone.", "network."))
    write_graph(graph, files.path / ONNX)
    about = Exported(
        tasks=dict(tasks),
        head=head,
        inputs=portable.inputs,
        parameters=sum(weight.numel() for weight in network.parameters()),
    )
    return OnnxModel(files, about)


def _bearing_other_sides(module: "_Plain", portable: Portable) -> Any:
    """The graph with all its axes varying; None where other sides are beyond it."""
    assert portable.other is not None
    tensors = [portable.other[name] for name in portable.names.values()]
    try:
        with torch.no_grad():
            wanted = module(*tensors)
        graph = _traced(module, portable, portable.axes)
        inputs = {
            name: tensor.contiguous().numpy()
            for name, tensor in zip(portable.names, tensors, strict=True)
        }
        found = run_onnx(graph.SerializeToString())(inputs)
    except (RuntimeError, ValueError, ModelError):
        # What runs the graph raises errors of its own, which are all of these kinds.
        return None
    for one, other in zip(found, wanted, strict=True):
        largest = max(1.0, float(other.abs().max()))
        if not np.abs(one - other.numpy()).max() <= _TOLERANCE * largest:
            return None
    return graph


def _traced(
    module: "_Plain", portable: Portable, axes: Mapping[str, tuple[str | None, ...]]
) -> Any:
    """The graph of what the module does with a batch."""
    shapes = tuple(
        {
            place: torch.export.Dim.DYNAMIC
            for place, axis in enumerate(axes[name])
            if axis is not None
        }
        for name in portable.names
    )
    with _quiet(), torch.no_grad(), Engine(attention="eager").apply(module.network):
        try:
            program = torch.onnx.export(
                module,
                tuple(portable.batch[name] for name in portable.names.values()),
                input_names=list(portable.names),
                output_names=list(module.tasks),
                dynamic_shapes=(shapes,),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            said = str(error).strip().splitlines()[0]
            raise ModelError(
                Problem("export", f"the network cannot be exported: {said}")
            ) from error
    assert program is not None
    return program.model_proto


def greatest_difference(network: Network, model: ExportedModel, rows: Sequence[Any]) -> float:
    """The greatest difference of an exported model's logits from those of its network.

    Args:
        network: The network.
        model: The exported model.
        rows: Rows; each is asked in a batch, and some alone.

    Returns:
        The difference, as a share of the largest logit where that is above 1.
    """
    feed = Feeds(network).feed(read_inputs(network.encoder, rows))
    wanted = Inference(network, Engine()).logits(feed, model.about.head).numpy()
    found = model.logits(rows), model.logits(rows[:16], tokens=1)
    largest = max(1.0, float(np.abs(wanted).max(initial=0)))
    return max(
        float(np.abs(given - wanted[: len(given)]).max(initial=0)) / largest for given in found
    )


class _Plain(nn.Module):
    """A network from named tensors to the logits of each task, as the exporter wants it."""

    def __init__(self, network: Network, inputs: tuple[str, ...], tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.inputs = inputs
        self.tasks = tasks

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch = dict(zip(self.inputs, tensors, strict=True))
        logits = self.network(batch, tasks=self.tasks).logits
        return tuple(logits[task] for task in self.tasks)


def _checked(
    folder: ModelFolder, rows: Sequence[Any], tolerance: float, tell: Tell
) -> tuple[OnnxModel, dict[str, object]]:
    tell("export", 0, 2)
    model = onnx_model(folder)
    tell("export", 1, 2)
    rows = rows if len(rows) else model.inputs.made_up(_MADE_UP)
    difference = 0.0
    if isinstance(folder.model, Network):
        difference = greatest_difference(folder.model, model, rows)
    if not difference <= tolerance:
        raise ModelError(
            Problem(
                str(folder.path),
                f"the exported graph's logits differ by up to {difference:.2g}",
                f"at most {tolerance:g}",
                "Say which architecture it is in a bug report; a tolerance can be given.",
            )
        )
    tell("export", 2, 2)
    return model, {
        "precision": "fp32",
        "bytes": model.size,
        "checked_rows": len(rows),
        "greatest_difference": difference,
        **invariance_told(model, rows),
    }


def _kind(folder: ModelFolder) -> str:
    model = folder.model
    return (
        f"{model.runtime} in {model.about.precision}"
        if isinstance(model, ExportedModel)
        else (type(model).__name__)
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither the exporter's warnings nor its log, which tells of libraries that nobody needs."""
    log = logging.getLogger("torch.onnx")
    level, said = log.level, log.propagate
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        log.propagate = said
