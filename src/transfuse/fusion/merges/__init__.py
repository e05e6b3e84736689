"""Fusion of weights: trained models of one ancestor become one model of the same size.

Read `base.py` first.
"""

from transfuse.answering import Stage
from transfuse.fusion.merges.acceptance import Comparison, Verdict, accept, row_scores
from transfuse.fusion.merges.base import Merge, Scaled, Solution
from transfuse.fusion.merges.batch_norm import Repair, has_batch_norm
from transfuse.fusion.merges.best import Best
from transfuse.fusion.merges.candidates import CANDIDATES
from transfuse.fusion.merges.family import Family, relate
from transfuse.fusion.merges.frontier import Frontier, Point, frontier
from transfuse.fusion.merges.search import Found, search

__all__ = [
    "MERGES",
    "Comparison",
    "Family",
    "Found",
    "Frontier",
    "Merge",
    "Point",
    "Repair",
    "Scaled",
    "Solution",
    "Verdict",
    "accept",
    "frontier",
    "has_batch_norm",
    "relate",
    "row_scores",
    "search",
]

MERGES: dict[str, type[Stage]] = {**CANDIDATES, "best": Best}
