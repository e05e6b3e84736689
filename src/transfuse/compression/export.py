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
from transfuse.answering.runtime import need
from transfuse.compression.invariance import invariance_told
from transfuse.compression.rows import rows_to_fit
from transfuse.errors import ModelError, Problem
from transfuse.models import (
    Batch,
    Engine,
    Feeds,
    Inference,
    Network,
    StaticEncoder,
    TextEncoder,
    read_inputs,
)
from transfuse.models.quiet import quiet_loading
from transfuse.models.tokens import padding_id
from transfuse.tasks import Task

__all__ = ["Onnx", "export", "greatest_difference", "onnx_model", "to_onnx"]

_AXES = dict.fromkeys(("input_ids", "attention_mask"), ("batch", "length"))
"""The axes of inputs that vary; of any other input it is the first alone."""

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Onnx(Stage):
    """The network as an ONNX graph in 32 bits, for ONNX Runtime.

    Batch and length are dynamic axes; several tasks are several outputs of one graph. The graph's
    logits are compared with the network's on training rows, one by one and in batches.
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
        texts = rows_to_fit(evidence, self.rows, seed, "onnx")
        model, told = _checked(folder, texts, self.tolerance, tell)
        return Made(model, folder.task, told)


def export(
    folder: Path | str,
    output: Path | str,
    *,
    texts: Sequence[str] = (),
    task: str | None = None,
    tolerance: float = _TOLERANCE,
) -> dict[str, object]:
    """Write a model folder's network again as a folder with an ONNX graph.

    The new folder answers as the old one does, with its calibration and its scorecard; it also
    holds `example.py`, which runs it without Transfuse.

    Args:
        folder: A model folder.
        output: The new folder.
        texts: Texts that the graph is checked on. Default: rows of random tokens.
        task: Which of several tasks it answers first; the others are outputs too. Default: the
            first.
        tolerance: As for `Onnx`.

    Returns:
        What was found out on the way, as JSON can hold it.

    Raises:
        ModelError: If the model is no network, or the graph's answers are not the network's.
    """
    opened = load_model(folder, Engine(), task=task)
    model, told = _checked(opened, texts, tolerance, lambda what, done, total: None)
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
        ModelError: If what exports is not installed, the network has several encoders, or an
            operation of it has no counterpart.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        need(library, "export")
    from transfuse.compression.onnx_graph import tidy, write_graph

    columns = ", ".join(network.encoders)
    if len(network.encoders) != 1 or not isinstance(network.encoder, TextEncoder | StaticEncoder):
        raise ModelError(Problem("export", f"the network encodes {columns}", "one column of texts"))
    plain, encoder = network.copied_as(torch.float32).cpu(), network.encoder
    batch = plain.encoder.probe_batch()
    module = _Plain(plain, tuple(batch), tuple(tasks))
    axes = {name: _AXES.get(name, ("batch",)) for name in batch}
    shapes = tuple(
        dict.fromkeys(range(len(axes[name])), torch.export.Dim.DYNAMIC) for name in batch
    )
    graph = _traced(module, plain, batch, shapes)
    files = Files.fresh()
    tidy(graph, axes, (f"network.encoders.{columns}.backbone.", "network."))
    write_graph(graph, files.path / ONNX)
    with quiet_loading():
        encoder.tokenizer.save_pretrained(files.path)
    about = Exported(
        tasks=dict(tasks),
        head=head,
        max_length=encoder.max_length,
        padding=padding_id(encoder.tokenizer),
        # An empty text either has tokens, or is what stands for all texts without any.
        filler=int(encoder.preprocess([""])[0][0]),
        parameters=sum(weight.numel() for weight in network.parameters()),
    )
    return OnnxModel(files, about)


def _traced(
    module: "_Plain", network: Network, batch: Batch, shapes: tuple[dict[int, Any], ...]
) -> Any:
    """The graph of what the module does with a batch."""
    with _quiet(), torch.no_grad(), Engine(attention="eager").apply(network):
        try:
            program = torch.onnx.export(
                module,
                tuple(batch.values()),
                input_names=list(batch),
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


def greatest_difference(network: Network, model: ExportedModel, texts: Sequence[str]) -> float:
    """The greatest difference of an exported model's logits from those of its network.

    Args:
        network: The network.
        model: The exported model.
        texts: Texts; each is asked in a batch, and some alone.

    Returns:
        The difference, as a share of the largest logit where that is above 1.
    """
    feed = Feeds(network).feed(read_inputs(network.encoder, texts))
    wanted = Inference(network, Engine()).logits(feed, model.about.head).numpy()
    alone = min(len(texts), 16)
    found = model.logits(texts), model.logits(texts[:alone], tokens=1)
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
    folder: ModelFolder, texts: Sequence[str], tolerance: float, tell: Tell
) -> tuple[OnnxModel, dict[str, object]]:
    tell("export", 0, 2)
    model = onnx_model(folder)
    tell("export", 1, 2)
    texts = list(texts) or _random_texts(model)
    difference = 0.0
    if isinstance(folder.model, Network):
        difference = greatest_difference(folder.model, model, texts)
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
        "checked_rows": len(texts),
        "greatest_difference": difference,
        **invariance_told(model, texts),
    }


def _random_texts(model: OnnxModel) -> list[str]:
    """Texts of random tokens, of one word to the greatest length."""
    words = [model.tokenizer.decode([number]) for number in range(model.tokenizer.get_vocab_size())]
    words = [word for word in words if word.strip()] or ["a"]
    rng = np.random.default_rng(0)
    lengths = np.unique(np.geomspace(1, model.about.max_length, 32).astype(int))
    return [" ".join(rng.choice(words, length)) for length in lengths.repeat(2)]


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
