"""How objectives that compare two columns read a step: cosines of a batch, items, the towers."""

from collections.abc import Mapping

import torch

from transfuse.errors import Problem, RecipeError
from transfuse.models import Network
from transfuse.models.columns.towers import TowerModule, towers_of
from transfuse.objectives.base import Facts, Step, StreamTask
from transfuse.objectives.domains import logits_of

__all__ = ["check_pairs", "cosines_of", "items_of", "towers_in"]

STREAM = "target"


def check_pairs(method: str, network: Network, facts: Mapping[str, Facts]) -> StreamTask:
    """Whether a method that compares two columns has two to compare.

    Args:
        method: The objective's name in recipes.
        network: The network that will learn.
        facts: What is known of each stream.

    Raises:
        RecipeError: If the task is not matching, or the network has no towers.
    """
    known = facts[STREAM].task
    assert known is not None, "labelled rows have a task"
    if known.task.kind != "matching":
        raise RecipeError(
            Problem(
                "learn",
                f"{method} learns which pairs belong together, the task is {known.task.kind}",
                "matching",
                "Set `task: matching`.",
            )
        )
    towers_of(method, network.fusion)
    return known


def towers_in(step: Step) -> TowerModule:
    """The towers of a step's network."""
    fusion = step.network.fusion
    assert isinstance(fusion, TowerModule)
    return fusion


def cosines_of(step: Step) -> torch.Tensor:
    """Cosines of all pictures with all captions of a batch, 32 bits, [n, n]."""
    pictures, captions = logits_of(step, STREAM).chunk(2, dim=1)
    return pictures @ captions.T


def items_of(step: Step) -> torch.Tensor:
    """The number of each row's item, [n]."""
    return step.batches[STREAM]["targets"]
