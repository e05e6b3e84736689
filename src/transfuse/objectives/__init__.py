"""What is learned: named losses on named streams of data.

Read `base.py` first. `OBJECTIVES` lists every objective by the name that recipes use.
"""

from transfuse.objectives.base import Objective, Ramp, Step, StreamTask
from transfuse.objectives.l2_sp import L2SP
from transfuse.objectives.supervised import Source, Target

__all__ = ["L2SP", "OBJECTIVES", "Objective", "Ramp", "Source", "Step", "StreamTask", "Target"]

OBJECTIVES: dict[str, type[Objective]] = {
    "target": Target,
    "source": Source,
    "l2_sp": L2SP,
}
