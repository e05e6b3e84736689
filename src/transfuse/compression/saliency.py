"""How much the parts of a network matter: neurons, attention heads and layers.

All first-order scores come from one forward and one backward pass over the rows. A part that is
multiplied by a gate of 1 changes the loss by about the gradient of that gate when it is taken
away: the sum of activation times gradient. That is taken for each row by itself, so that rows that
pull in opposite directions do not cancel, and averaged over the rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transfuse.answering import Tell
from transfuse.data import Table, evaluation_batches, seed_for
from transfuse.models import Network, read_inputs
from transfuse.models.copies import copied_as
from transfuse.models.resizable import Resizable
from transfuse.tasks import Task

__all__ = ["Saliency", "magnitudes", "saliency"]

_BATCH_TOKENS = 1024


@dataclass(frozen=True)
class Saliency:
    """What taking a part away costs to first order, as a mean over rows; more is worth more.

    Args:
        units: For each linear layer that was asked about, by its name in the backbone: the score
            of each group of its inputs, float64 [units].
        layers: Score of each transformer block, float64 [blocks].
        similarity: Mean cosine between what enters a block and what leaves it, over the real
            tokens, float64 [blocks]. A block that changes little is near 1.
        rows: How many rows were looked at.
    """

    units: Mapping[str, NDArray[np.float64]]
    layers: NDArray[np.float64]
    similarity: NDArray[np.float64]
    rows: int


def saliency(
    network: Network,
    head: str,
    task: Task,
    table: Table,
    readers: Mapping[str, int],
    *,
    rows: int = 500,
    seed: int = 0,
    tell: Tell | None = None,
) -> Saliency:
    """Scores of the parts of a network on labelled rows.

    The score of a unit is Molchanov et al. (2019), 'Importance estimation for neural network
    pruning' (arXiv:1906.10771), with the gate placed on what the unit says: |Σ activation ·
    gradient| over the tokens of a row, which is |Σ weight · gradient| of the weights that read the
    unit. For attention heads it is that of Michel, Levy and Neubig (2019), 'Are sixteen heads
    really better than one?' (arXiv:1905.10650). The similarity of layers is that of Men et al.
    (2024), 'ShortGPT' (arXiv:2403.03853).

    Args:
        network: One encoder of one backbone, and its heads; it stays as it is.
        head: The head that answers.
        task: What it answers.
        table: Labelled rows.
        readers: Linear layers by their name in the backbone, with the number of equal groups that
            their inputs form: neurons, or attention heads.
        rows: Rows at the most, drawn at random. Default: 500.
        seed: Seed of that draw. Default: 0.
        tell: Hears how far it has come. Default: nobody.

    Returns:
        The scores.

    Raises:
        DataError: If a label is not one of the task's.
    """
    draw = np.random.default_rng(seed_for(seed, "saliency"))
    chosen = np.sort(draw.permutation(len(table))[:rows])
    table = table.take(chosen)
    targets = torch.from_numpy(task.targets(table))
    watched = _watched(network)
    encoder = watched.encoder
    assert isinstance(encoder, Resizable)
    inputs = read_inputs(encoder, table.inputs(encoder.reads))
    watch = _Watch(encoder, readers)
    device = next(encoder.parameters()).device
    batches = evaluation_batches(inputs.tokens.lengths, _BATCH_TOKENS)
    with watch.attached():
        for number, some in enumerate(batches):
            batch = encoder.collate(inputs.tokens.take(some))
            batch = {name: part.to(device) for name, part in batch.items()}
            watch.rows, watch.mask = len(some), batch.get("attention_mask")
            logits = watched(batch, tasks=[head]).logits[head]
            # The sum over rows, so that a row counts the same whatever shares its batch.
            loss = task.loss(logits, targets[some].to(device)) * len(some)
            loss.backward()
            if tell is not None:
                tell("scoring", number + 1, len(batches))
    count = max(1, len(chosen))
    return Saliency(
        {name: score / count for name, score in watch.units.items()},
        watch.layers / count,
        watch.cosines / max(1, watch.tokens),
        len(chosen),
    )


def magnitudes(
    weights: Mapping[str, torch.Tensor],
    axes: Mapping[str, int],
    reader: str,
    units: int,
    *,
    stacked: bool,
) -> NDArray[np.float64]:
    """The length of the weights that read a unit times that of the weights that write it.

    The product does not change when a unit says twice as much and is listened to half as much.

    Args:
        weights: Weights by name.
        axes: The parameters that have entries for each unit, and along which axis.
        reader: The name of the linear layer that reads them.
        units: The number of units.
        stacked: Whether an axis that is a multiple as long holds all units one after the other
            that many times, as a fused gate does, and not several entries for each unit.

    Returns:
        float64 [units].
    """
    squares = {True: np.zeros(units), False: np.zeros(units)}
    for name, axis in axes.items():
        entries = weights[name].detach().double().movedim(axis, 0).square()
        entries = entries.reshape(len(entries), -1).sum(1)
        form, over = ((-1, units), 0) if stacked else ((units, -1), 1)
        squares[name == f"{reader}.weight"] += entries.reshape(form).sum(over).cpu().numpy()
    found: NDArray[np.float64] = np.sqrt(squares[True] * squares[False])
    return found


def _watched(network: Network) -> Network:
    """A copy on the same memory in which gradients reach every activation, and no weight."""
    copied = copied_as(network, torch.float32)
    # Something before the first block has to ask for a gradient, or no activation gets one.
    for module in copied.encoder.layers()[0]:
        module.requires_grad_()
    return copied


class _Watch:
    """Adds up scores while a network runs forward and backward."""

    def __init__(self, encoder: Resizable, readers: Mapping[str, int]) -> None:
        self._encoder = encoder
        self._readers = dict(readers)
        blocks = len(encoder.anatomy.blocks)
        self.units = {name: np.zeros(count) for name, count in readers.items()}
        self.layers = np.zeros(blocks)
        self.cosines = np.zeros(blocks)
        self.tokens = 0
        self.rows = 0
        self.mask: torch.Tensor | None = None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watches inside."""
        handles = []
        for name, units in self._readers.items():
            layer = self._encoder.backbone.get_submodule(name)
            handles.append(layer.register_forward_pre_hook(self._reading(name, units)))
        for place, block in enumerate(self._encoder.anatomy.blocks):
            hook = self._leaving(place)
            handles.append(block.register_forward_hook(hook, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _reading(self, name: str, units: int) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
            said = args[0]

            def add(gradient: torch.Tensor) -> None:
                effect = (said.detach() * gradient).double()
                by_unit = effect.reshape(self.rows, -1, units, said.shape[-1] // units)
                self.units[name] += by_unit.sum((1, 3)).abs().sum(0).cpu().numpy()

            said.register_hook(add)

        return hook

    def _leaving(self, place: int) -> Any:
        def hook(_module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            entered = (args[0] if args else kwargs["hidden_states"]).detach()
            left = output[0] if isinstance(output, tuple) else output
            moved = left.detach() - entered
            alike = torch.cosine_similarity(entered, left.detach(), dim=-1)
            alike = alike if self.mask is None else alike[self.mask.bool()]
            self.cosines[place] += alike.double().sum().item()
            if place == 0:
                self.tokens += alike.numel()

            def add(gradient: torch.Tensor) -> None:
                effect = (moved * gradient).double().flatten(1).sum(1)
                self.layers[place] += effect.abs().sum().item()

            left.register_hook(add)

        return hook
