"""What runs an exported model: ONNX Runtime or OpenVINO, behind one function from arrays to arrays.

Both are optional, and are imported by whoever first asks an exported model.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.errors import ModelError, Problem

__all__ = [
    "Run",
    "has_bfloat16",
    "need",
    "run_onnx",
    "run_openvino",
    "silent_openvino",
    "usable_threads",
]

Run = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[np.float32]]]
"""From the inputs of a batch, by name, to the logits of each task, in the tasks' order."""


def need(library: str, extra: str) -> None:
    """Say how to install a library that is not there.

    Args:
        library: The name that it is imported by.
        extra: The extra of transfuse that installs it.

    Raises:
        ModelError: If it is not installed.
    """
    if find_spec(library) is None:
        raise ModelError(
            Problem(
                library,
                "is not installed, and this kind of model needs it",
                fix=f"Install it with: pip install 'transfuse[{extra}]'",
            )
        )


def usable_threads() -> int:
    """Threads that a runtime gets: as many as torch has, at most the cores of this process.

    Torch heeds `OMP_NUM_THREADS`, and a study sets it for its workers.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), cores))


def run_onnx(model: Path | bytes, threads: int | None = None) -> Run:
    """A model opened by ONNX Runtime.

    Args:
        model: An ONNX file, or its content.
        threads: Threads of a pass. Default: `usable_threads`.

    Raises:
        ModelError: If ONNX Runtime is not installed.
    """
    need("onnxruntime", "export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Set by hand, the number also keeps ONNX Runtime from pinning threads to cores of its choice.
    options.intra_op_num_threads = threads or usable_threads()
    options.log_severity_level = 3
    given = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = session.run(None, dict(inputs))
        return found

    return run


@contextmanager
def silent_openvino() -> Iterator[Any]:
    """OpenVINO without its reports to its makers and without its warnings.

    Yields:
        The module.

    Raises:
        ModelError: If it is not installed.
    """
    need("openvino", "openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino

        yield openvino


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this machine's processor by itself."""
    with silent_openvino() as openvino:
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def run_openvino(model: Any, precision: str = "fp32", threads: int | None = None) -> Run:
    """A model opened by OpenVINO.

    Args:
        model: The path of an `.xml` file, or a model of OpenVINO.
        precision: `bf16` computes what is not quantised in bfloat16 where the processor has it.
            Default: `fp32`, since OpenVINO would otherwise choose bfloat16 in silence.
        threads: Threads of a pass. Default: `usable_threads`.

    Raises:
        ModelError: If OpenVINO is not installed.
    """
    with silent_openvino() as openvino:
        options = {
            "INFERENCE_NUM_THREADS": threads or usable_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" and has_bfloat16() else "f32",
        }
        core = openvino.Core()
        read = core.read_model(str(model)) if isinstance(model, Path) else model
        compiled = core.compile_model(read, "CPU", options)

    def run(inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        # A request of its own: the compiled model's is shared by all threads of a server.
        request = compiled.create_infer_request()
        request.infer(dict(inputs))
        return [np.array(request.get_tensor(port).data) for port in compiled.outputs]

    return run
