"""Soft sharing: how several tasks share what one encoder makes of a row.

Read `base.py` first. `FUSIONS` lists every fusion by the name that recipes use.
"""

from transfuse.models.fusion.base import Fusion, TaskVectors
from transfuse.models.fusion.cross_stitch import CrossStitch
from transfuse.models.fusion.mmoe import MMoE
from transfuse.models.fusion.ple import PLE

__all__ = ["FUSIONS", "PLE", "CrossStitch", "Fusion", "MMoE", "TaskVectors"]

FUSIONS: dict[str, type[Fusion]] = {
    "mmoe": MMoE,
    "ple": PLE,
    "cross_stitch": CrossStitch,
}
