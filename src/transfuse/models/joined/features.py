"""Kept pooled vectors of several columns: each column's own, so that recipes share them.

A study that trains on text alone, on pictures alone and on both encodes every text and every
picture once.
"""

from collections.abc import Collection

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
    """Pooled vectors of columns whose encoders are frozen.

    Args:
        encoder: The encoder of several columns.
        store: Where the vectors of each column are kept.
        engine: The arithmetic that computes them.
        columns: The frozen ones. Default: all of them.
    """

    def __init__(
        self,
        encoder: JoinedEncoder,
        store: Store,
        engine: Engine,
        columns: Collection[str] | None = None,
    ) -> None:
        self._encoder = encoder
        self._store = store
        self._engine = engine
        # Reading all weights for the name takes longer than reading the rows.
        self._spaces = {
            name: feature_space(each, each.depth, engine, pooled=True)
            for name, each in encoder.encoders()
            if not isinstance(each, FieldEncoder) and (columns is None or name in columns)
        }

    def vectors(self, rows: JoinedRows) -> npt.NDArray[np.float32]:
        """The pooled vectors of rows, float32 [rows, dim].

        Args:
            rows: The rows; the values that are kept already are not looked at.
        """
        found = np.zeros((len(rows), self._encoder.dim), dtype=np.float32)
        begin = 0
        kept = self.parts(rows)
        for name, encoder in self._encoder.encoders():
            within = slice(begin, begin + encoder.dim)
            if name in kept:
                found[:, within] = kept[name]
            else:
                numbers, values = rows.part(name)
                found[numbers, within] = encoder.collate(values)["values"].numpy()
            begin += encoder.dim
        found[:, begin:] = rows.present
        return found

    def parts(self, rows: JoinedRows) -> dict[str, npt.NDArray[np.float32]]:
        """The pooled vectors of each frozen column, float32 [rows, d]; 0 where a row lacks it.

        Args:
            rows: The rows; the values that are kept already are not looked at.
        """
        found = {}
        for name, encoder in self._encoder.encoders():
            if name in self._spaces:
                numbers, values = rows.part(name)
                found[name] = np.zeros((len(rows), encoder.dim), dtype=np.float32)
                if len(numbers):
                    found[name][numbers] = pooled_features(
                        encoder,
                        values,
                        rows.keys_of(name),
                        store=self._store,
                        engine=self._engine,
                        space=self._spaces[name],
                    )
        return found
