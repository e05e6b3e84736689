"""Many models to one: of their answers, or of their weights.

Read `answers/base.py` and `merges/base.py` first.
"""

from transfuse.fusion.answers import ANSWERS
from transfuse.fusion.merges import MERGES

__all__ = ["ANSWERS", "MERGES"]
