"""Many models to one: of their answers, or of their weights.

Read `answers/__init__.py` and `merges/__init__.py` first.
"""

from transfuse.answering import Stage

__all__ = ["ANSWERS", "MERGES"]

ANSWERS: dict[str, type[Stage]] = {}
MERGES: dict[str, type[Stage]] = {}
