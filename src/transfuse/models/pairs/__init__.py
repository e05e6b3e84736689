"""Models that compare pictures with texts; the file to read is `base.py`."""

from transfuse.models.pairs.base import PairModel, Vectors, nearest
from transfuse.models.pairs.checkpoint import PairCheckpoint
from transfuse.models.pairs.network import PairNetwork
from transfuse.models.pairs.opening import open_pairs

__all__ = ["PairCheckpoint", "PairModel", "PairNetwork", "Vectors", "nearest", "open_pairs"]
