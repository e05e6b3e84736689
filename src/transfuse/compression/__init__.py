"""One model to a smaller or faster one."""

from transfuse.answering import Stage

__all__ = ["COMPRESSIONS"]

COMPRESSIONS: dict[str, type[Stage]] = {}
"""Compressions by the name that a recipe calls them."""
