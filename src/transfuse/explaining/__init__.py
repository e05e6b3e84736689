"""Which words of a text or patches of a picture drove an answer. Read `explain.py` first."""

from transfuse.explaining.explain import METHODS, Method, Row, explain, explain_many
from transfuse.explaining.explanation import Explanation, PatchWeight, TokenWeight
from transfuse.explaining.pictures import Fill, Grid

__all__ = [
    "METHODS",
    "Explanation",
    "Fill",
    "Grid",
    "Method",
    "PatchWeight",
    "Row",
    "TokenWeight",
    "explain",
    "explain_many",
]
