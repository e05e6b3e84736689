"""Encoders, heads and networks; loading and saving them; the feature store and the engine.

Read `network.py` first.
"""

from transfuse.models.encode import encode
from transfuse.models.encoder import Batch, Encoded, Encoder
from transfuse.models.engine import Engine, probe_engine
from transfuse.models.feed import Feed, Feeds, Inputs, read_inputs
from transfuse.models.find import find_model
from transfuse.models.folder import load_network, save_network
from transfuse.models.heads import Head, LinearHead, NativeHead, ProblemType
from transfuse.models.infer import Inference
from transfuse.models.load import load_classifier, load_encoder, reinitialise
from transfuse.models.memory import hold_memory, release_memory
from transfuse.models.network import Network, Outputs
from transfuse.models.store import Store
from transfuse.models.text import TextEncoder

__all__ = [
    "Batch",
    "Encoded",
    "Encoder",
    "Engine",
    "Feed",
    "Feeds",
    "Head",
    "Inference",
    "Inputs",
    "LinearHead",
    "NativeHead",
    "Network",
    "Outputs",
    "ProblemType",
    "Store",
    "TextEncoder",
    "encode",
    "find_model",
    "hold_memory",
    "load_classifier",
    "load_encoder",
    "load_network",
    "probe_engine",
    "read_inputs",
    "reinitialise",
    "release_memory",
    "save_network",
]
