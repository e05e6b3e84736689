"""Merging of weights: numpy and safetensors only, so that it starts at once.

Read `engine.py` first.
"""

from transfuse.merging.base import Floats, Method
from transfuse.merging.checks import MergeCheck, check
from transfuse.merging.dare_linear import DareLinear
from transfuse.merging.dare_ties import DareTies
from transfuse.merging.engine import SHARD_BYTES, merge_folders
from transfuse.merging.linear import Linear
from transfuse.merging.model_stock import ModelStock
from transfuse.merging.report import MergeReport
from transfuse.merging.slerp import Slerp
from transfuse.merging.task_arithmetic import TaskArithmetic
from transfuse.merging.ties import Ties

__all__ = [
    "METHODS",
    "SHARD_BYTES",
    "Floats",
    "MergeCheck",
    "MergeReport",
    "Method",
    "check",
    "merge_folders",
]

METHODS: dict[str, type[Method]] = {
    "linear": Linear,
    "slerp": Slerp,
    "task_arithmetic": TaskArithmetic,
    "ties": Ties,
    "dare_linear": DareLinear,
    "dare_ties": DareTies,
    "model_stock": ModelStock,
}
