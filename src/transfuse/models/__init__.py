"""Encoders, heads and networks; loading and saving them; the feature store and the engine.

Read `network.py` first.
"""

# First of all: once loaded it asks for our classes (see `_register.py`), and files of ours that
# were half read by then would fail.
import transformers.models.auto.modeling_auto  # noqa: F401

from transfuse.models.alike import open_alike
from transfuse.models.answers import Answers
from transfuse.models.columns import (
    COLUMN_FUSIONS,
    ColumnFusion,
    Concat,
    FusedColumns,
    PairHead,
    TowerModule,
)
from transfuse.models.distil import distil_static
from transfuse.models.encode import encode
from transfuse.models.encoder import Adaptable, Batch, Encoded, Encoder
from transfuse.models.engine import Engine, probe_engine
from transfuse.models.feature_file import Features
from transfuse.models.features import pooled_features, prefix_features
from transfuse.models.feed import Feed, Feeds, Inputs, read_inputs
from transfuse.models.fields import FieldEncoder
from transfuse.models.find import find_model
from transfuse.models.folder import load_network, save_network
from transfuse.models.fusion import FUSIONS, Fusion
from transfuse.models.heads import Head, LinearHead, NativeHead, ProblemType
from transfuse.models.infer import Inference
from transfuse.models.joined import JoinedEncoder, JoinedRows
from transfuse.models.load import load_classifier, load_encoder
from transfuse.models.memory import hold_memory, release_memory
from transfuse.models.narrow import Shape, load_narrow
from transfuse.models.network import Network, Outputs
from transfuse.models.static import StaticEncoder
from transfuse.models.store import Store
from transfuse.models.students import keep_layers
from transfuse.models.text import TextEncoder

__all__ = [
    "COLUMN_FUSIONS",
    "FUSIONS",
    "Adaptable",
    "Answers",
    "Batch",
    "ColumnFusion",
    "Concat",
    "Encoded",
    "Encoder",
    "Engine",
    "Features",
    "Feed",
    "Feeds",
    "FieldEncoder",
    "FusedColumns",
    "Fusion",
    "Head",
    "Inference",
    "Inputs",
    "JoinedEncoder",
    "JoinedRows",
    "LinearHead",
    "NativeHead",
    "Network",
    "Outputs",
    "PairHead",
    "ProblemType",
    "Shape",
    "StaticEncoder",
    "Store",
    "TextEncoder",
    "TowerModule",
    "distil_static",
    "encode",
    "find_model",
    "hold_memory",
    "keep_layers",
    "load_classifier",
    "load_encoder",
    "load_narrow",
    "load_network",
    "open_alike",
    "pooled_features",
    "prefix_features",
    "probe_engine",
    "read_inputs",
    "release_memory",
    "save_network",
]
