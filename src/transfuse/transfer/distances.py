"""How far two tables lie apart for a model: distances on an encoder's features."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfuse.data import Distance, Role, Table, seed_for
from transfuse.evaluation import domain_distances
from transfuse.models import Encoder, Engine, encode, load_encoder
from transfuse.models.images import image_encoder

__all__ = ["table_distances"]

_ROWS = 2000
"""Rows of each table that are measured, which the distances need no more of."""


@dataclass(frozen=True)
class _Measure:
    name: str
    note: str


_MEASURES = {
    "proxy_a_distance": _Measure(
        "proxy A-distance", "0: a classifier cannot tell the tables apart, 2: always"
    ),
    "mmd": _Measure("MMD²", "0: one distribution; five Gaussian kernels, unbiased"),
    "coral": _Measure("CORAL", "between covariances; compare it for one encoder only"),
}


def table_distances(
    source: Table,
    target: Table,
    model: str | Path,
    *,
    engine: Engine | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> list[Distance]:
    """Three distances of a target from a source, on the features of an encoder.

    Args:
        source: A table with text, or of pictures for an encoder of pictures.
        target: Another such table.
        model: Whose features: a folder, an installed package that carries a model, or a hub id.
        engine: The arithmetic. Default: what the probe finds fastest here.
        seed: Draws the rows where a table has more than 2,000. Default: 0.
        progress: Called with the number of rows that were encoded now.

    Returns:
        Proxy A-distance, MMD and CORAL; groups stay together where the tables have them.

    Raises:
        DataError: If a table has not what the encoder reads, or too few rows.
        ModelError: If the model cannot be loaded.
    """
    pictures = target.reads == (Role.IMAGE,)
    encoder: Encoder = image_encoder(model) if pictures else load_encoder(model)
    sides = [_drawn(table, seed, use) for use, table in (("source", source), ("target", target))]
    features = [
        encode(encoder, side.inputs(encoder.reads), engine, progress=progress) for side in sides
    ]
    measured = domain_distances(
        features[0],
        features[1],
        source_groups=sides[0].groups(),
        target_groups=sides[1].groups(),
        seed=seed,
    )
    return [
        Distance(_MEASURES[name].name, source.name, value, _MEASURES[name].note)
        for name, value in measured.items()
    ]


def _drawn(table: Table, seed: int, use: str) -> Table:
    if len(table) <= _ROWS:
        return table
    rng = np.random.default_rng(seed_for(seed, "distances", use))
    return table.take(np.sort(rng.permutation(len(table))[:_ROWS]))
