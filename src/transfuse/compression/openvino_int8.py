"""Calibrated 8-bit arithmetic by OpenVINO and NNCF: the fastest on processors of x86."""

import io
import logging
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.exported import ONNX, OPENVINO, Files, OnnxModel, OpenVinoModel
from transfuse.answering.runtime import has_bfloat16, need, silent_openvino
from transfuse.compression.export import onnx_model
from transfuse.compression.invariance import precision_told
from transfuse.compression.rows import rows_to_choose, rows_to_fit
from transfuse.compression.sensitivity import NARROWEST, Search, logit_error, score_loss
from transfuse.errors import ModelError, Problem

__all__ = ["OpenVino"]

_QUIET = "NNCF_CI"
"""What keeps NNCF from reporting its use to its makers."""

_CONVOLUTIONS = ("Convolution", "GroupConvolution")


@dataclass(frozen=True)
class OpenVino(Stage):
    """The network as an OpenVINO graph, in 8 bits that were calibrated on training rows.

    NNCF finds the scale of each activation on the calibration rows, smooths outliers of
    transformers into the weights and corrects biases. Layers that bear it worst compute in 32 bits
    (with weights in 8) until the validation score is kept.
    """

    precision: Literal["int8", "bf16", "fp32"] = "int8"
    """`bf16` keeps weights in 16 bits and computes in bfloat16 on processors that have it, in 32
    bits on others; `fp32` changes nothing but what runs the network. Default: int8."""

    tolerance: float = 0.005
    """Greatest loss of the task's main metric on validation rows; 0.005 is half a point of
    accuracy. Default: 0.005."""

    rows: int = 128
    """Training rows to calibrate on, and to measure each layer's error on. Default: 128."""

    validation_rows: int = 2000
    """Validation rows that the score is measured on, at the most. Default: 2,000."""

    sensitivity: Literal["needed", "always"] = "needed"
    """Whether each layer's error is measured always, or only where layers must be kept. Default:
    needed."""

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise ValueError("tolerance is at least 0")
        for name in ("rows", "validation_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")

    def make(
        self, models: Sequence[ModelFolder], evidence: Evidence, seed: int, tell: Tell
    ) -> Made:
        """See `Stage.make`."""
        (folder,) = models
        need("openvino", "openvino")
        if self.precision == "int8":
            need("nncf", "openvino")
        rows = rows_to_fit(evidence, folder.reads, self.rows, seed, "openvino")
        table = rows_to_choose(evidence, self.validation_rows, seed)
        labels, judged = folder.task.targets(table), table.inputs(folder.reads)
        tell("export", 0, 1)
        plain = onnx_model(folder)
        wanted, logits = plain.scores(judged), plain.logits(rows)

        def judge(model: OpenVinoModel) -> tuple[float, float]:
            return score_loss(folder.task, model.scores(judged), wanted, labels)

        if self.precision == "int8":
            tell("calibrate", 0, 1)
            graph = _calibrated(plain, rows)
            layers = _layers(graph)

            def make(kept: Collection[str]) -> OpenVinoModel:
                return _saved(plain, _without(graph, {layers[name] for name in kept}), "int8")

            def alone(layer: str) -> float:
                others = [other for other in layers if other != layer]
                return logit_error(make(others).logits(rows), logits)

            search = Search(list(layers), make, judge, alone, self.tolerance, tell)
            model, found = search.run(self.sensitivity == "always")
        else:
            model = _saved(plain, _read(plain), self.precision)
            score, loss = judge(model)
            found = {"score": score, "loss": loss, "tolerance": self.tolerance}
            _check_loss(folder, loss, self.tolerance)
        told = {
            "precision": self.precision,
            "validation_rows": len(judged),
            "bfloat16_here": has_bfloat16(),
            **found,
            **precision_told(model, plain, rows, logits),
        }
        return Made(model, folder.task, told)


def _check_loss(folder: ModelFolder, loss: float, tolerance: float) -> None:
    if loss > tolerance:
        raise ModelError(
            Problem(
                str(folder.path),
                f"{loss:.4f} of the validation score is lost",
                f"at most {tolerance:g}",
            )
        )


def _read(model: OnnxModel) -> Any:
    with silent_openvino() as openvino:
        return openvino.Core().read_model(str(model.files.path / ONNX))


def _saved(plain: OnnxModel, graph: Any, precision: str) -> OpenVinoModel:
    """A graph in scratch files, beside what makes its inputs."""
    files = Files.fresh()
    with silent_openvino() as openvino:
        openvino.save_model(graph, str(files.path / OPENVINO), compress_to_fp16=precision == "bf16")
    return OpenVinoModel(files, plain.beside(files, precision))


def _calibrated(plain: OnnxModel, rows: Sequence[Any]) -> Any:
    """The graph with weights in 8 bits and a rounding step before each product."""
    ready = plain.inputs.preprocess(rows)
    batches = [plain.inputs.collate(ready.take([place])) for place in range(len(ready))]
    graph = _read(plain)
    with _quiet() as nncf:
        return nncf.quantize(
            graph,
            nncf.Dataset(batches),
            # Outliers, and what attention needs, are affairs of transformers.
            model_type=None if _convolutional(graph) else nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=_narrow(graph)),
        )


def _convolutional(graph: Any) -> bool:
    """Whether convolutions outnumber the other products of a graph."""
    kinds = Counter(node.get_type_name() for node in graph.get_ops())
    return sum(kinds[kind] for kind in _CONVOLUTIONS) > kinds["MatMul"]


def _narrow(graph: Any) -> list[str]:
    """Products of few outputs, such as a classifier's: in 8 bits they would save nothing."""
    return [
        node.get_friendly_name()
        for node in graph.get_ops()
        if node.get_type_name() == "MatMul"
        and any(
            part.get_source_output().get_node().get_type_name() == "Constant"
            and min(part.get_shape()) < NARROWEST
            for part in node.inputs()
        )
    ]


def _layers(graph: Any) -> dict[str, str]:
    """The rounding steps of a graph by the products that read them."""
    seen: Counter[str] = Counter()
    found = {}
    for step in graph.get_ordered_ops():
        if step.get_type_name() != "FakeQuantize":
            continue
        name = " + ".join(sorted(set(_readers(step)))) or step.get_friendly_name()
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = step.get_friendly_name()
    return found


def _readers(step: Any) -> Iterator[str]:
    """The names of the products that what a step gives comes to first."""
    for target in step.output(0).get_target_inputs():
        node = target.get_node()
        if node.get_type_name() in ("MatMul", *_CONVOLUTIONS):
            yield node.get_friendly_name().partition("/")[0]
        elif node.get_type_name() in ("Reshape", "Transpose", "Multiply", "Squeeze", "Unsqueeze"):
            yield from _readers(node)


def _without(graph: Any, steps: Collection[str]) -> Any:
    """A copy of a graph in which some rounding steps hand on what they get."""
    copy = graph.clone()
    for step in copy.get_ops():
        if step.get_friendly_name() in steps:
            for target in step.output(0).get_target_inputs():
                target.replace_source_output(step.input_value(0))
    copy.validate_nodes_and_infer_types()
    return copy


@contextmanager
def _quiet() -> Iterator[Any]:
    """NNCF without reports to its makers, bars, log and warnings.

    Yields:
        The module.
    """
    before: Mapping[str, str] = dict(os.environ)
    os.environ[_QUIET] = "1"
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            import nncf

            nncf.set_log_level(logging.ERROR)
            yield nncf
    finally:
        if _QUIET not in before:
            del os.environ[_QUIET]
