"""8-bit products, tables and convolutions for ONNX Runtime, on any processor."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from transfuse.answering import Evidence, Made, ModelFolder, Stage, Tell
from transfuse.answering.exported import ONNX, Files, OnnxModel
from transfuse.compression.export import onnx_model
from transfuse.compression.invariance import precision_told
from transfuse.compression.rows import rows_to_choose, rows_to_fit
from transfuse.compression.sensitivity import Search, logit_error, score_loss

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Int8", "with_graph"]


@dataclass(frozen=True)
class Int8(Stage):
    """An ONNX graph whose weights and activations are in 8 bits, for ONNX Runtime.

    Activations get their scale as they come, one for each token; so nothing is calibrated, and a
    text is answered the same whatever shares its batch. Where convolutions do most of the work,
    scales are fixed ones instead, calibrated on training rows, which holds as well. Layers that
    bear it worst stay in 32 bits until the validation score is kept.
    """

    tolerance: float = 0.005
    """Greatest loss of the task's main metric on validation rows; 0.005 is half a point of
    accuracy. Default: 0.005."""

    weight_bits: Literal[7, 8] = 7
    """Bits of the weights of products, 7 or 8; with 8, sums can overflow on processors without
    VNNI. Default: 7."""

    rows: int = 200
    """Training rows to calibrate convolutions on, and to measure each layer's error on.
    Default: 200."""

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
        rows = rows_to_fit(evidence, folder.reads, self.rows, seed, "int8")
        table = rows_to_choose(evidence, self.validation_rows, seed)
        labels, judged = folder.task.targets(table), table.inputs(folder.reads)
        plain = onnx_model(folder)
        tell("quantise", 0, 1)
        layers, quantise = _quantiser(plain, rows, self.weight_bits)
        wanted, logits = plain.scores(judged), plain.logits(rows)

        def make(kept: Collection[str]) -> OnnxModel:
            return with_graph(plain, quantise(kept), "int8")

        def alone(layer: str) -> float:
            made = make([other for other in layers if other != layer])
            return logit_error(made.logits(rows), logits)

        search = Search(
            layers=layers,
            make=make,
            judge=lambda model: score_loss(folder.task, model.scores(judged), wanted, labels),
            alone=alone,
            tolerance=self.tolerance,
            tell=tell,
        )
        model, found = search.run(self.sensitivity == "always")
        told = {
            "precision": "int8",
            "validation_rows": len(judged),
            **found,
            **precision_told(model, plain, rows, logits),
        }
        return Made(model, folder.task, told)


def _quantiser(
    plain: OnnxModel, rows: Sequence[Any], bits: int
) -> tuple[list[str], Callable[[Collection[str]], "ModelProto"]]:
    """The layers that can have few bits, and what makes the graph in which some keep more."""
    from transfuse.compression.onnx_graph import products, quantised, read_graph, tables
    from transfuse.compression.qdq import calibrated, convolutional, convolved

    graph = read_graph(plain.files.path / ONNX)
    if convolutional(graph):
        return convolved(graph), lambda kept: calibrated(plain, rows, kept, bits)
    layers = [*tables(graph), *products(graph)]
    return layers, lambda kept: quantised(graph, [x for x in layers if x not in kept], bits)


def with_graph(model: OnnxModel, graph: "ModelProto", precision: str) -> OnnxModel:
    """The same model with another graph, in scratch files.

    Args:
        model: The model, whose inputs and tasks are kept.
        graph: The new graph, of the same inputs and outputs.
        precision: What is said of its numbers.
    """
    from transfuse.compression.onnx_graph import write_graph

    files = Files.fresh()
    write_graph(graph, files.path / ONNX)
    return OnnxModel(files, model.beside(files, precision))
