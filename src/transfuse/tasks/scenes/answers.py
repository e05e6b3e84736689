"""Losses of heads whose decoder answers layer by layer."""

from collections.abc import Callable

import torch

__all__ = ["mean_over_answers"]


def mean_over_answers(
    logits: torch.Tensor, losses: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The loss of each row, mean over the answers that it was given (auxiliary decoding losses).

    Carion et al. (2020, arXiv:2005.12872): a decoder whose layers each answer for the targets
    learns much sooner than one whose last layer does.

    Args:
        logits: [n, outputs], or [n, answers, outputs].
        losses: From logits [n, outputs] to [n].

    Returns:
        [n].
    """
    answers = logits[:, None] if logits.ndim == 2 else logits
    return torch.stack([losses(one) for one in answers.unbind(1)]).mean(dim=0)
