"""Which words of a text drove a model's answer. Read `explain.py` first."""

from transfuse.explaining.explain import METHODS, Method, explain, explain_many
from transfuse.explaining.explanation import Explanation, TokenWeight

__all__ = ["METHODS", "Explanation", "Method", "TokenWeight", "explain", "explain_many"]
