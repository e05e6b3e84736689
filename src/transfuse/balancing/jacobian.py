"""The gradients of several losses side by side: one row for each loss.

The rows are one buffer that every step uses anew: allocating it takes longer than filling it. Each
row ends with one mark for each parameter, 1 where the loss has a gradient, so that a mean over
processes carries with it which parameters are shared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from transfuse.balancing.base import Matrix, Vector

__all__ = ["Jacobian"]

_CHUNK = 1 << 16
"""Columns of the buffer that are multiplied at once: what a core keeps at hand, and few enough
that sums in 32 bits lose nothing."""

_LARGE = 1e24


@dataclass(frozen=True)
class _Layout:
    """Which columns belong to whom."""

    shared: tuple[tuple[int, int], ...]
    """Columns of parameters that more than one loss moves, neighbours together."""

    owners: tuple[int | None, ...]
    """For each parameter the one loss that moves it; None where several do; -1 where none does."""


class Jacobian:
    """The gradients of losses on some parameters.

    Args:
        parameters: The parameters, each once.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = tuple(parameters)
        self._ends = np.cumsum([0] + [each.numel() for each in self.parameters]).tolist()
        self._width = self._ends[-1] + len(self.parameters)
        device = self.parameters[0].device if self.parameters else torch.device("cpu")
        # Nothing is allocated before it is needed: most rules never need it.
        self._buffer = self._sum = self._zeros = torch.zeros(0, device=device)
        self._tasks = 0

    @property
    def rows(self) -> torch.Tensor:
        """The gradients and their marks, [T, P + number of parameters]; contiguous."""
        return self._buffer[: self._tasks]

    def take(self, losses: Sequence[torch.Tensor], *, more: bool = False) -> None:
        """One backward pass for each loss that has a graph.

        Args:
            losses: Scalars, which may share their graphs; these are freed at the end.
            more: Add to the rows instead of beginning anew. Default: no.
        """
        if not more:
            self._tasks = len(losses)
            if self._tasks > len(self._buffer):
                self._buffer = self._buffer.new_zeros(self._tasks, self._width)
                self._sum = self._buffer.new_zeros(self._ends[-1])
                self._zeros = self._buffer.new_zeros(max(np.diff(self._ends), default=0))
        left = sum(loss.requires_grad for loss in losses)
        for row, loss in zip(self.rows, losses, strict=True):
            found: Sequence[torch.Tensor | None] = [None] * len(self.parameters)
            if loss.requires_grad:
                left -= 1
                found = torch.autograd.grad(
                    loss, self.parameters, retain_graph=left > 0, allow_unused=True
                )
            self._put(row, found, more)

    def _put(self, row: torch.Tensor, found: Sequence[torch.Tensor | None], more: bool) -> None:
        pieces = [
            self._zeros[: each.numel()] if gradient is None else gradient.reshape(-1)
            for each, gradient in zip(self.parameters, found, strict=True)
        ]
        marks = [float(gradient is not None) for gradient in found]
        pieces.append(torch.tensor(marks, device=row.device))
        if more:
            row.add_(torch.cat(pieces))
        else:
            torch.cat(pieces, out=row)

    def gramian(self) -> Matrix:
        """The inner products of the rows over the shared parameters, in float64, [T, T]."""
        shared = self._layout().shared
        ones = self.rows.new_ones(self._tasks, 1)
        total = self._products(shared, ones)
        squares = total.diagonal()
        if shared and not bool(((squares > 1 / _LARGE) & (squares < _LARGE)).all()):
            # Such squares leave what 32 bits hold, though the gradients themselves do not.
            found = [self.rows[:, begin:end].abs().amax(1, keepdim=True) for begin, end in shared]
            sizes = torch.cat(found, 1).amax(1, keepdim=True)
            sizes = torch.where((sizes > 0) & sizes.isfinite(), sizes, ones)
            total = self._products(shared, sizes) * (sizes.double() @ sizes.double().T)
        gramian: Matrix = total.cpu().numpy()
        return gramian

    def _products(self, spans: Sequence[tuple[int, int]], sizes: torch.Tensor) -> torch.Tensor:
        """Inner products over some columns of the rows, each divided by its size."""
        total = torch.zeros(self._tasks, self._tasks, dtype=torch.float64, device=self._sum.device)
        plain = bool((sizes == 1).all())
        with _exact():
            for begin, end in spans:
                for at in range(begin, end, _CHUNK):
                    chunk = self.rows[:, at : min(at + _CHUNK, end)]
                    chunk = chunk if plain else chunk / sizes
                    total += chunk @ chunk.T
        return total

    def write(self, factors: Vector) -> None:
        """Set every parameter's `.grad`, in place of what it was.

        Shared parameters get the sum of the rows, each times its factor; what one loss alone moves
        gets that row; what none moves has no gradient. The gradients are views of the buffer and
        hold until the next `take`.

        Args:
            factors: One for each row.
        """
        layout = self._layout()
        weights = torch.from_numpy(factors).to(self._sum)
        with _exact():
            for begin, end in layout.shared:
                torch.mv(self.rows[:, begin:end].T, weights, out=self._sum[begin:end])
        for each, owner, (begin, end) in zip(
            self.parameters, layout.owners, pairwise(self._ends), strict=True
        ):
            if owner == -1:
                each.grad = None
                continue
            source = self._sum if owner is None else self.rows[owner]
            each.grad = source[begin:end].view(each.shape).to(each.dtype)

    def _layout(self) -> _Layout:
        marked = (self.rows[:, self._ends[-1] :] > 0).cpu().numpy()
        counts = marked.sum(0)
        owners = [
            -1 if count == 0 else None if count > 1 else int(first)
            for count, first in zip(counts, marked.argmax(0), strict=True)
        ]
        shared: list[tuple[int, int]] = []
        for owner, (begin, end) in zip(owners, pairwise(self._ends), strict=True):
            if owner is not None:
                continue
            if shared and shared[-1][1] == begin:
                begin = shared.pop()[0]
            shared.append((begin, end))
        return _Layout(tuple(shared), tuple(owners))


@contextmanager
def _exact() -> Iterator[None]:
    """Products in full 32 bits, whatever the run allows the network's to be."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
