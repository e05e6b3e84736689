"""`run`: any recipe from Python, as `transfuse run` does it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfuse.study.compare import compare
from transfuse.study.plan import is_study
from transfuse.transfer import transfer

__all__ = ["run"]


def run(recipe: Mapping[str, Any], output: Path | str) -> Path:
    """Do a recipe: compare what a study compares, or make the model of a single recipe.

    Args:
        recipe: What `transfuse.read_recipe` gives, or the same written in place.
        output: The folder of the results.

    Returns:
        The study's folder, or the model folder.

    Raises:
        TransfuseError: As `transfuse.study.compare` and `transfuse.transfer.transfer`.
    """
    if is_study(recipe):
        return compare(recipe, output)
    return transfer(recipe, output).folder
