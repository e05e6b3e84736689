"""Fusions of columns: one vector of what the encoders make of a row's text, picture and fields.

Read `base.py` first. `COLUMN_FUSIONS` lists every fusion by the name that recipes use.
"""

from transfuse.models.columns.add import Add
from transfuse.models.columns.attention import Attention
from transfuse.models.columns.base import Column, ColumnFusion, FusedColumns
from transfuse.models.columns.bilinear import Bilinear
from transfuse.models.columns.concat import Concat
from transfuse.models.columns.gated import Gated
from transfuse.models.columns.pair_head import PairHead
from transfuse.models.columns.towers import TowerModule, Towers
from transfuse.models.columns.trunk import Trunk

__all__ = [
    "COLUMN_FUSIONS",
    "Add",
    "Attention",
    "Bilinear",
    "Column",
    "ColumnFusion",
    "Concat",
    "FusedColumns",
    "Gated",
    "PairHead",
    "TowerModule",
    "Towers",
    "Trunk",
]

COLUMN_FUSIONS: dict[str, type[ColumnFusion]] = {
    "concat": Concat,
    "add": Add,
    "gated": Gated,
    "bilinear": Bilinear,
    "attention": Attention,
    "trunk": Trunk,
    "towers": Towers,
}
