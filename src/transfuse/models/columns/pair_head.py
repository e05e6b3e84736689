"""The head over two towers: their vectors as they are."""

import torch

from transfuse.models.encoder import Batch, Encoded
from transfuse.models.heads import Head

__all__ = ["PairHead"]


class PairHead(Head):
    """Hands on the vectors of a row's picture and caption, side by side.

    Args:
        outputs: Length of both together.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.labels = None
        self.problem_type = None

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`."""
        return encoded.pooled

    @property
    def linear(self) -> None:
        """See `Head.linear`: it has none."""
        return

    def reset(self, seed: int) -> None:
        """See `Head.reset`: nothing was learnt."""
        return
