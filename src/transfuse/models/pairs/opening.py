"""Opens what compares pictures with texts, whoever made it."""

from pathlib import Path

from transfuse.models.engine import Engine
from transfuse.models.folder import load_network
from transfuse.models.joined.folder import is_joined
from transfuse.models.pairs.base import PairModel
from transfuse.models.pairs.checkpoint import PairCheckpoint
from transfuse.models.pairs.network import PairNetwork

__all__ = ["open_pairs"]


def open_pairs(name: str | Path, engine: Engine | None = None) -> PairModel:
    """Opens a model folder of `task: matching`, or a CLIP or SigLIP checkpoint.

    Args:
        name: The folder; for a checkpoint also an installed package or a hub id.
        engine: The arithmetic of a model of ours. Default: the fastest one here.

    Raises:
        ModelError: If it cannot be read, or does not compare pictures with texts.
    """
    if is_joined(Path(name)):
        return PairNetwork(load_network(Path(name)), engine)
    return PairCheckpoint.open(name)
