"""The one file that speaks to Accelerate: devices, processes, synchronisation, trackers."""

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

__all__ = ["Runtime", "alone", "writes"]


def writes() -> bool:
    """Whether this process is the one that writes: the only one, or the first of `torchrun`'s."""
    return int(os.environ.get("RANK", "0")) == 0


def alone() -> bool:
    """Whether this process is the only one of its run."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


class Runtime:
    """One process of a run: alone, or one of those that `torchrun` started.

    Accelerate's own gradient accumulation stays at 1, since it counts the end of any loader as the
    end of a step; the loop counts instead. Its mixed precision stays off, since the engine chooses
    the arithmetic for each run and Accelerate holds one choice for the whole process.

    Args:
        tracker: Name of an Accelerate tracker. Default: none.
        folder: Where the tracker writes. Default: nowhere.
    """

    def __init__(self, tracker: str | None = None, folder: Path | None = None) -> None:
        self._accelerator = Accelerator(
            # Nothing here has run on an accelerator yet, so none is taken unasked.
            cpu=True,
            log_with=tracker,
            project_dir=folder,
        )
        if tracker is not None:
            self._accelerator.init_trackers("curves")

    @property
    def rank(self) -> int:
        """The number of this process."""
        return int(self._accelerator.process_index)

    @property
    def world(self) -> int:
        """How many processes train together."""
        return int(self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        device: torch.device = self._accelerator.device
        return device

    def prepare(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """A module and its optimizer, wrapped for the processes at work."""
        wrapped: tuple[nn.Module, torch.optim.Optimizer] = self._accelerator.prepare(
            module, optimizer
        )
        return wrapped

    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass of a scalar."""
        self._accelerator.backward(loss)

    def unsynchronised(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients add up without being shared between processes."""
        context: AbstractContextManager[Any] = self._accelerator.no_sync(module)
        return context

    def average(self, numbers: torch.Tensor) -> None:
        """Put the mean over the processes in the place of the numbers, which are contiguous."""
        if self.world > 1:
            torch.distributed.all_reduce(numbers)
            numbers.div_(self.world)

    def agreed(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The first process's numbers, in every process."""
        if self.world == 1:
            return numbers
        sent = torch.tensor(numbers, device=self.device)
        torch.distributed.broadcast(sent, src=0)
        received: NDArray[np.float64] = sent.cpu().numpy()
        return received

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Scale the gradient down to a norm, if it is longer."""
        self._accelerator.clip_grad_norm_(parameters, norm)

    def wait(self) -> None:
        """Wait for all processes."""
        self._accelerator.wait_for_everyone()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        votes = torch.tensor([int(flag)], device=self.device)
        return bool(self._accelerator.reduce(votes, reduction="sum").item())

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers for the tracker, if there is one."""
        self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """Let the tracker finish its files."""
        self._accelerator.end_training()
