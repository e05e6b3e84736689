"""Kept pooled vectors of several columns: each column's own, so that recipes share them.

A study that trains on text alone, on pictures alone and on both encodes every text and every
picture once.
"""

import numpy as np
import numpy.typing as npt

from transfuse.models.engine import Engine
from transfuse.models.features import feature_space, pooled_features
from transfuse.models.fields import FieldEncoder
from transfuse.models.joined.encoder import JoinedEncoder
from transfuse.models.joined.rows import JoinedRows
from transfuse.models.store import Store

__all__ = ["JoinedFeatures"]


class JoinedFeatures:
    """Pooled vectors of a frozen encoder of several columns.

    Args:
        encoder: The encoder.
        store: Where the vectors of each column are kept.
        engine: The arithmetic that computes them.
    """

    def __init__(self, encoder: JoinedEncoder, store: Store, engine: Engine) -> None:
        self._encoder = encoder
        self._store = store
        self._engine = engine
        # Reading all weights for the name takes longer than reading the rows.
        self._spaces = {
            name: feature_space(each, each.depth, engine, pooled=True)
            for name, each in encoder.encoders()
            if not isinstance(each, FieldEncoder)
        }

    def vectors(self, rows: JoinedRows) -> npt.NDArray[np.float32]:
        """The pooled vectors of rows, float32 [rows, dim].

        Args:
            rows: The rows; the values that are kept already are not looked at.
        """
        found = np.zeros((len(rows), self._encoder.dim), dtype=np.float32)
        begin = 0
        for name, encoder in self._encoder.encoders():
            numbers, values = rows.part(name)
            if name not in self._spaces:
                vectors = encoder.collate(values)["values"].numpy()
            elif len(numbers):
                vectors = pooled_features(
                    encoder,
                    values,
                    rows.keys_of(name),
                    store=self._store,
                    engine=self._engine,
                    space=self._spaces[name],
                )
            found[numbers, begin : begin + encoder.dim] = vectors if len(numbers) else 0
            begin += encoder.dim
        found[:, begin:] = rows.present
        return found
