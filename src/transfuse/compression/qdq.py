"""A convolutional graph in 8 bits, with scales that were calibrated on rows.

Scales found as pictures come, one for each batch, would let a picture's answer depend on what
shares its batch, and ONNX Runtime has no fast convolutions for them; so activations get fixed
scales here, weights one for each output channel (QDQ format).
"""

import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from transfuse.answering.exported import ONNX, OnnxModel
from transfuse.compression.onnx_graph import read_graph
from transfuse.compression.sensitivity import NARROWEST

__all__ = ["calibrated", "convolutional", "convolved"]

_BATCH = 8

_IN_8_BITS = ("Conv", "Gemm", "MatMul", "Add", "Clip", "Relu", "MaxPool", "AveragePool")
"""What takes 8 bits: products, and what runs between them in the same numbers."""


def convolutional(model: ModelProto) -> bool:
    """Whether convolutions hold most weights of a graph's products.

    Args:
        model: The graph.
    """
    found = {"Conv": 0, "Gemm": 0, "MatMul": 0}
    for kind, _, shape in _products(model):
        found[kind] += int(np.prod(shape))
    return found["Conv"] > found["Gemm"] + found["MatMul"]


def convolved(model: ModelProto) -> list[str]:
    """The names of the products with weights that `calibrated` can put into 8 bits.

    Args:
        model: The graph.
    """
    return [name for kind, name, shape in _products(model) if not _narrow(kind, shape)]


def calibrated(
    plain: OnnxModel, rows: Sequence[Any], kept: Collection[str], bits: int
) -> ModelProto:
    """A model's graph in 8 bits, with the scales that rows ask for.

    Args:
        plain: The model in 32 bits; it stays.
        rows: What to calibrate on; none of them is kept in memory.
        kept: The names of the products that stay in 32 bits.
        bits: Bits of the weights, 7 or 8.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    batches = _batches(plain, rows)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands the rows over, batch by batch."""

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """The next batch; None after the last."""
            return next(batches, None)

    source = plain.files.path / ONNX
    narrow = [name for kind, name, shape in _products(read_graph(source)) if _narrow(kind, shape)]
    with tempfile.TemporaryDirectory(prefix="transfuse-") as scratch, _quiet():
        made = Path(scratch) / ONNX
        quantize_static(
            source,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_IN_8_BITS),
            per_channel=True,
            # Sums of two products that processors without VNNI take in 16 bits cannot overflow.
            reduce_range=bits < 8,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*narrow, *kept],
        )
        return read_graph(made)


def _products(model: ModelProto) -> Iterator[tuple[str, str, Sequence[int]]]:
    """Kind, name and shape of the weights of each product that has some."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in weights:
            yield node.op_type, node.name, tuple(weights[node.input[1]].dims)


def _narrow(kind: str, shape: Sequence[int]) -> bool:
    return kind != "Conv" and min(shape) < NARROWEST


def _batches(plain: OnnxModel, rows: Sequence[Any]) -> Iterator[dict[str, NDArray[Any]]]:
    ready = plain.inputs.preprocess(rows)
    for start in range(0, len(ready), _BATCH):
        stop = min(start + _BATCH, len(ready))
        yield plain.inputs.collate(ready.take(np.arange(start, stop)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that ONNX Runtime gives through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
