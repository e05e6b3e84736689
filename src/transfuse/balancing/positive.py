"""For rules that take the logarithm of a loss."""

from collections.abc import Sequence

from transfuse.balancing.base import Vector
from transfuse.errors import Problem, TrainingError

__all__ = ["positive"]


def positive(values: Vector, shift: float, names: Sequence[str], rule: str) -> Vector:
    """The losses plus the shift.

    Args:
        values: The losses.
        shift: What is added to each.
        names: Their names.
        rule: The name of the balancer, for the error.

    Raises:
        TrainingError: If one of them is not above 0 then; it names them all.
    """
    shifted = values + shift
    wrong = [
        Problem(
            f"objective {name!r}",
            f"the loss is {value:.4g}",
            f"a loss above {0 - shift:g}, since {rule} takes its logarithm",
            f"Set balance.{rule}.shift above {0 - value:.4g}, or choose another balancer.",
        )
        for name, value, number in zip(names, values, shifted, strict=True)
        if not number > 0
    ]
    if wrong:
        raise TrainingError(wrong)
    return shifted
