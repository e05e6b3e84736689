"""Attention and feed-forward of the fusions that are made of them."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Block"]


class Block(nn.Module):
    """One transformer layer, normalised before each part.

    Args:
        width: Length of the vectors.
        heads: Attention heads, a divisor of `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_asking = nn.LayerNorm(width)
        self.norm_asked = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, asking: torch.Tensor, asked: torch.Tensor, real: torch.Tensor
    ) -> torch.Tensor:
        """Each vector, with what it takes from those that it attends to.

        Args:
            asking: [n, T, width].
            asked: [n, S, width].
            real: Which of `asked` may be attended to, bool [n, S]; at least one of each row.

        Returns:
            [n, T, width].
        """
        query = self._apart(self.query(self.norm_asking(asking)))
        key, value = self.key_value(self.norm_asked(asked)).chunk(2, dim=-1)
        taken = functional.scaled_dot_product_attention(
            query, self._apart(key), self._apart(value), attn_mask=real[:, None, None]
        )
        seen = asking + self.out(taken.transpose(1, 2).flatten(2))
        made: torch.Tensor = seen + self.feed_forward(seen)
        return made

    def _apart(self, vectors: torch.Tensor) -> torch.Tensor:
        count, length, width = vectors.shape
        return vectors.view(count, length, self.heads, width // self.heads).transpose(1, 2)
