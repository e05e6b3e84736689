"""Weights set to zero, as an analysis only: it makes nothing smaller and nothing faster.

A dense matrix product costs the same whatever its entries are, and a stored zero takes as many
bytes as another number. What the table shows is how much of a network is redundant; to gain from
it, prune whole neurons or layers.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from transfuse.answering import ModelFolder, Tell
from transfuse.compression.prune_rebuild import resizable_network
from transfuse.data import Table
from transfuse.evaluation import evaluate
from transfuse.models import Engine, Feeds, Inference, Network, read_inputs
from transfuse.models.folder import save_network
from transfuse.models.resizable import Resizable

__all__ = ["NOT_FASTER", "Sparse", "sparsity", "sparsity_table", "two_of_four"]

Pattern = Literal["dense", "unstructured", "2:4"]

NOT_FASTER = "not faster: zeros are stored and multiplied like any other number"
"""The label of every table of sparsity."""

_TIMED_TEXTS = 64
_PASSES = 5


@dataclass(frozen=True)
class Sparse:
    """A network with some weights of its blocks set to zero.

    Args:
        pattern: `unstructured`: the least of each matrix; `2:4`: the lesser two of each four
            neighbours in a row; `dense`: none.
        level: The share of weights that was to be zero.
        zeros: The share of the blocks' matrices that is zero.
        score: The task's primary metric.
        lost: How much less that is than without zeros.
        bytes: Size of the weights' file.
        ms_per_text: Milliseconds a text, many at a time.
    """

    pattern: Pattern
    level: float
    zeros: float
    score: float
    lost: float
    bytes: int
    ms_per_text: float


def sparsity(
    folder: ModelFolder,
    table: Table,
    levels: Sequence[float] = (0.3, 0.5, 0.7, 0.9),
    *,
    engine: Engine | None = None,
    tell: Tell | None = None,
) -> tuple[Sparse, ...]:
    """What a model scores with the least weights of its transformer blocks set to zero.

    By magnitude, without training afterwards (Han et al., 2015, 'Learning both weights and
    connections for efficient neural networks', arXiv:1506.02626); 2:4 as in Mishra et al. (2021),
    'Accelerating sparse deep neural networks' (arXiv:2104.08378), which only some graphics
    processors multiply faster.

    Args:
        folder: The model, which stays as it is.
        table: Labelled rows to score on.
        levels: Shares of zeros, between 0 and 1. Default: 0.3, 0.5, 0.7 and 0.9.
        engine: The arithmetic. Default: plain float32.
        tell: Hears how far it has come. Default: nobody.

    Returns:
        The dense network, then each level unstructured, then 2:4.

    Raises:
        ValueError: If a level is not between 0 and 1.
        ModelError: If the model is no transformer of one task.
    """
    if not all(0 < level < 1 for level in levels):
        raise ValueError("levels lie between 0 and 1")
    dense, _ = resizable_network(folder, "sparsity")
    trials: list[tuple[Pattern, float]] = [("dense", 0.0)]
    trials += [("unstructured", level) for level in levels]
    trials.append(("2:4", 0.5))
    found: list[Sparse] = []
    for place, (pattern, level) in enumerate(trials):
        network = copy.deepcopy(dense)
        zeros = _silence(network, pattern, level)
        score, pace = _measured(network, folder, table, engine)
        first = found[0].score if found else score
        size = _size_on_disk(network)
        found.append(Sparse(pattern, level, zeros, score, first - score, size, pace))
        if tell is not None:
            tell("sparsity", place + 1, len(trials))
    return tuple(found)


def sparsity_table(found: Sequence[Sparse]) -> dict[str, Any]:
    """The measurements as JSON can hold them, with the label that belongs to them.

    Args:
        found: What `sparsity` gave.
    """
    return {"label": NOT_FASTER, "rows": [asdict(each) for each in found]}


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """Which weights stay when the lesser two of each four neighbours go.

    Args:
        weight: A matrix [m, n]; where 4 does not divide n the last of a row stay.

    Returns:
        bool [m, n], True where a weight stays.
    """
    rows, columns = weight.shape
    whole = columns - columns % 4
    fours = weight[:, :whole].abs().reshape(rows, -1, 4)
    kept = torch.zeros_like(fours, dtype=torch.bool)
    kept.scatter_(2, fours.topk(2, dim=2).indices, True)
    rest = torch.ones(rows, columns - whole, dtype=torch.bool)
    return torch.cat([kept.reshape(rows, whole), rest], dim=1)


def _matrices(network: Network) -> Iterator[torch.Tensor]:
    """The matrices of the blocks, or of the whole backbone where it has no list of them."""
    encoder = network.encoder
    assert isinstance(encoder, Resizable)
    for block in encoder.anatomy.blocks or (encoder.backbone,):
        for module in block.modules():
            weight = getattr(module, "weight", None)
            if isinstance(module, nn.Embedding) or not isinstance(weight, torch.Tensor):
                continue
            if weight.ndim == 2:
                yield weight.data


def _silence(network: Network, pattern: Pattern, level: float) -> float:
    """Set weights to zero in place; the share that is zero afterwards."""
    zeros, total = 0, 0
    for weight in _matrices(network):
        if pattern == "2:4":
            weight *= two_of_four(weight)
        elif pattern == "unstructured":
            count = round(level * weight.numel())
            least = weight.abs().flatten().argsort(stable=True)[:count]
            weight.view(-1)[least] = 0
        zeros += int((weight == 0).sum())
        total += weight.numel()
    return zeros / max(1, total)


def _measured(
    network: Network, folder: ModelFolder, table: Table, engine: Engine | None
) -> tuple[float, float]:
    """The primary metric, and milliseconds a text."""
    inference, feeds, texts = (
        Inference(network, engine),
        Feeds(network),
        table.inputs(network.encoder.reads),
    )

    def answer(some: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        logits = inference.logits(feeds.feed(read_inputs(network.encoder, some)), folder.head)
        return folder.task.scores(logits).double().numpy()

    targets = folder.task.targets(table)
    metrics = evaluate([folder.task.primary], answer(texts), targets)
    return metrics[folder.task.primary], _pace(answer, texts[:_TIMED_TEXTS])


def _pace(answer: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Milliseconds a text: the median of some passes over all, after one to warm up."""
    times = []
    for _ in range(1 + _PASSES):
        began = time.perf_counter()
        answer(texts)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[1:]) / max(1, len(texts))


def _size_on_disk(network: Network) -> int:
    """Bytes of the safetensors files."""
    with tempfile.TemporaryDirectory() as name:
        save_network(network, name)
        return sum(path.stat().st_size for path in Path(name).glob("*.safetensors"))
