"""One model to a smaller or faster one.

Read `prune_width.py` first: a stage, what it cuts, and how the model recovers.
"""

from transfuse.answering import Stage
from transfuse.compression.bfloat16 import BFloat16
from transfuse.compression.cascade import CascadeStage
from transfuse.compression.export import Onnx
from transfuse.compression.openvino_int8 import OpenVino
from transfuse.compression.prune_heads import PruneHeads
from transfuse.compression.prune_layers import PruneLayers
from transfuse.compression.prune_width import PruneWidth
from transfuse.compression.quantise import Int8
from transfuse.compression.trim_vocabulary import TrimVocabulary

__all__ = ["COMPRESSIONS"]

COMPRESSIONS: dict[str, type[Stage]] = {
    "prune_layers": PruneLayers,
    "prune_width": PruneWidth,
    "prune_heads": PruneHeads,
    "trim_vocabulary": TrimVocabulary,
    "onnx": Onnx,
    "int8": Int8,
    "openvino": OpenVino,
    "bfloat16": BFloat16,
    "cascade": CascadeStage,
}
