"""Copies of modules in another number type, for inference."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn

__all__ = ["Held", "copied_as"]

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


@dataclass(frozen=True)
class Held(Generic[T]):
    """Something that copies of a module hold in common, such as a tokenizer.

    Args:
        value: The thing; nobody changes it.
    """

    value: T

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Held[T]":
        return self


def copied_as(
    module: M, dtype: torch.dtype, made: Mapping[nn.Module, nn.Module] | None = None
) -> M:
    """A copy for inference whose parameters have another number type.

    Parameters that have the type already share their memory with the original, so a copy in the
    same type costs next to nothing. Buffers are shared and keep their type: tables of rotary
    angles lose positions in 16 bits.

    Args:
        module: The module; it stays as it is.
        dtype: The number type of the copy's floating-point parameters.
        made: Copies that there are already of modules within it. Default: none.

    Returns:
        A copy in evaluation mode that takes no gradients.
    """
    # What `deepcopy` finds in its memo it takes as already copied.
    memo: dict[int, object] = {id(buffer): buffer for buffer in module.buffers()}
    for parameter in module.parameters():
        wanted = dtype if parameter.is_floating_point() else parameter.dtype
        memo[id(parameter)] = nn.Parameter(parameter.detach().to(wanted), requires_grad=False)
    memo |= {id(part): its_copy for part, its_copy in (made or {}).items()}
    return copy.deepcopy(module, memo).eval()
