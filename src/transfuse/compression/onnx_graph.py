"""An ONNX graph in hand: tidied, its products and tables in 8 bits, written to a file.

A product takes its activations in 8 bits with one scale for each token, and its weights with one
for each output; so a token's answer does not depend on what shares its batch, as it does where one
scale serves a whole batch (which is what ONNX Runtime's own dynamic quantisation does).
"""

import ast
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from transfuse.compression.sensitivity import NARROWEST

__all__ = ["products", "quantised", "read_graph", "tables", "tidy", "write_graph"]

_SCOPES = "pkg.torch.onnx.name_scopes"
_ONE_FILE = 2**31 - 2**20
"""Bytes that fit into one file of protocol buffers."""


def read_graph(path: Path) -> ModelProto:
    """A graph with its weights.

    Args:
        path: An ONNX file; weights beside it are read too.
    """
    return onnx.load(path)


def write_graph(model: ModelProto, path: Path) -> None:
    """Write a graph; weights that do not fit into one file go into `NAME.data` beside it.

    Args:
        model: The graph.
        path: The new file.
    """
    if model.ByteSize() < _ONE_FILE:
        onnx.save_model(model, path)
    else:
        onnx.save_model(
            model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
        )


def tidy(
    model: ModelProto, axes: Mapping[str, tuple[str | None, ...]], prefixes: tuple[str, ...]
) -> None:
    """Name a graph's axes and its products, and take out what the exporter noted, in place.

    Its notes are the lines of source that each node comes from, with paths of this machine.

    Args:
        model: The graph.
        axes: The names of each input's axes, from the first on; None, and further ones, are fixed.
        prefixes: What is cut off the names of modules: the first of these that one begins with.
    """
    graph = model.graph
    names = _names(graph.node, prefixes)
    renamed = {
        axis.dim_param: name
        for value in graph.input
        for axis, name in zip(
            value.type.tensor_type.shape.dim, axes.get(value.name, ()), strict=False
        )
        if name is not None
    }
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = renamed.get(axis.dim_param, axis.dim_param)
    for node, name in zip(graph.node, names, strict=True):
        node.name = name
    # What the exporter says of shapes between the nodes is not always so.
    del graph.value_info[:]
    parts = (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
    graph.name = model.producer_name = "transfuse"


def _names(nodes: Collection[NodeProto], prefixes: tuple[str, ...]) -> list[str]:
    """A name for each node: a product's or a table's is that of its module, once for each use."""
    seen: Counter[str] = Counter()
    names = []
    for node in nodes:
        name = node.name
        scopes = next((note.value for note in node.metadata_props if note.key == _SCOPES), "[]")
        modules = [scope for scope in ast.literal_eval(scopes) if scope.startswith(prefixes)]
        if node.op_type in ("MatMul", "Gemm", "Gather", "Conv") and modules:
            cut = next(prefix for prefix in prefixes if modules[-1].startswith(prefix))
            name = modules[-1].removeprefix(cut)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def products(model: ModelProto) -> list[str]:
    """The names of the products with weights that `quantised` can put into 8 bits.

    Args:
        model: The graph.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if _is_product(node, weights)]


def tables(model: ModelProto) -> list[str]:
    """The names of the look-ups in tables of vectors that `quantised` can put into 8 bits.

    Args:
        model: The graph.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if _is_table(node, weights)]


def _is_product(node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in weights:
        return False
    weight, options = weights[node.input[1]], _options(node)
    plain = all(options.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return (
        weight.data_type == TensorProto.FLOAT
        and len(weight.dims) == 2
        and min(weight.dims) >= NARROWEST
        and plain
        and not options.get("transA")
    )


def _is_table(node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
    if node.op_type != "Gather" or node.input[0] not in weights or _options(node).get("axis"):
        return False
    table = weights[node.input[0]]
    return (
        table.data_type == TensorProto.FLOAT
        and len(table.dims) == 2
        and min(table.dims) >= NARROWEST
    )


def _options(node: NodeProto) -> dict[str, Any]:
    return {option.name: helper.get_attribute_value(option) for option in node.attribute}


def quantised(model: ModelProto, names: Collection[str], bits: int = 7) -> ModelProto:
    """The same graph with some of its products and tables in 8 bits; the given one stays.

    Args:
        model: The graph.
        names: The products and tables.
        bits: Bits of a product's weights. Default: 7, so that the sums of two products that
            processors without VNNI take in 16 bits cannot overflow.
    """
    made = _Building({tensor.name: tensor for tensor in model.graph.initializer}, bits)
    for node in model.graph.node:
        if node.name not in names:
            made.nodes.append(node)
        elif _is_product(node, made.weights):
            made.product(node)
        elif _is_table(node, made.weights):
            made.table(node)
        else:
            made.nodes.append(node)
    used = {name for node in made.nodes for name in node.input}
    used |= {value.name for value in model.graph.output}
    graph = helper.make_graph(
        made.nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [tensor for name, tensor in {**made.weights, **made.fresh}.items() if name in used],
    )
    return helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        functions=model.functions,
    )


@dataclass
class _Building:
    """The nodes and weights of a new graph."""

    weights: Mapping[str, TensorProto]
    bits: int
    nodes: list[NodeProto] = field(default_factory=list)
    fresh: dict[str, TensorProto] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    """Activations that are in 8 bits already, for another product."""

    def add(self, kind: str, inputs: list[str], output: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **options))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self.fresh:
            self.fresh[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def activations(self, name: str) -> tuple[str, str]:
        """Activations [..., d] in 8 bits around 128, and the scale of each token [..., 1]."""
        codes, scale = f"{name}/int8", f"{name}/scale"
        if name not in self.taken:
            self.taken.add(name)
            last = self.constant("int8/last_axis", np.array([-1], np.int64))
            high = self.add("ReduceMax", [name, last], f"{name}/high", keepdims=1)
            low = self.add("ReduceMin", [name, last], f"{name}/low", keepdims=1)
            least = self.constant("int8/least", np.array(1e-30, np.float32))
            top = self.add(
                "Max", [high, self.add("Neg", [low], f"{low}/neg"), least], f"{name}/top"
            )
            step = self.constant("int8/step", np.array(1 / 127, np.float32))
            self.add("Mul", [top, step], scale)
            inverse = self.add("Reciprocal", [scale], f"{scale}/inverse")
            spread = self.add("Mul", [name, inverse], f"{name}/spread")
            # A cast cuts off what follows the point, which rounds a number that 0.5 was added to.
            middle = self.constant("int8/middle", np.array(128.5, np.float32))
            shifted = self.add("Add", [spread, middle], f"{name}/shifted")
            self.add("Cast", [shifted], codes, to=TensorProto.UINT8)
        return codes, scale

    def product(self, node: NodeProto) -> None:
        weight, output = node.input[1], node.output[0]
        matrix = numpy_helper.to_array(self.weights[weight])
        turned = bool(_options(node).get("transB"))
        key = f"{weight}/turned" if turned else weight
        if f"{key}/int8" not in self.fresh:
            whole, scales = _codes(matrix.T if turned else matrix, 0, 2 ** (self.bits - 1) - 1)
            self.constant(f"{key}/int8", whole)
            self.constant(f"{key}/scale", scales[0])
        codes, scale = self.activations(node.input[0])
        zero = self.constant("int8/zero", np.array(128, np.uint8))
        sums = self.add("MatMulInteger", [codes, f"{key}/int8", zero], f"{output}/sums")
        wide = self.add("Cast", [sums], f"{output}/wide", to=TensorProto.FLOAT)
        columns = self.add("Mul", [wide, f"{key}/scale"], f"{output}/columns")
        bias = len(node.input) > 2
        found = self.add("Mul", [columns, scale], f"{output}/product" if bias else output)
        if bias:
            self.add("Add", [found, node.input[2]], output)

    def table(self, node: NodeProto) -> None:
        table, ids, output = node.input[0], node.input[1], node.output[0]
        if f"{table}/int8" not in self.fresh:
            whole, scales = _codes(numpy_helper.to_array(self.weights[table]), 1, 127)
            self.constant(f"{table}/int8", whole)
            self.constant(f"{table}/scale", scales)
        rows = self.add("Gather", [f"{table}/int8", ids], f"{output}/rows")
        scale = self.add("Gather", [f"{table}/scale", ids], f"{output}/scale")
        wide = self.add("Cast", [rows], f"{output}/wide", to=TensorProto.FLOAT)
        self.add("Mul", [wide, scale], output)


def _codes(
    matrix: NDArray[np.float32], axis: int, top: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers from -top to top, and the scale of each slice along an axis."""
    scales = np.abs(matrix).max(axis=axis, keepdims=True).astype(np.float32) / np.float32(top)
    scales[scales == 0] = 1
    return np.rint(matrix / scales).astype(np.int8), scales
