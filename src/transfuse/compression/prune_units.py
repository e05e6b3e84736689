"""Choosing which units of each block stay, and building the network that has no others.

A unit is a neuron of a feed-forward block or a group of attention heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from transfuse.answering import Evidence, ModelFolder, Tell
from transfuse.compression.prune_cuts import (
    Cut,
    Cuts,
    cut_weights,
)
from transfuse.compression.prune_rebuild import (
    check_same,
    rebuilt,
    resizable_network,
)
from transfuse.compression.recovery import Recovery, recover
from transfuse.compression.saliency import magnitudes, saliency
from transfuse.models import Network
from transfuse.models.resizable import Resizable

__all__ = [
    "By",
    "Pruned",
    "Units",
    "keep_units",
    "kept_score",
    "prune_units",
    "sizes",
    "unit_scores",
]

By = Literal["taylor", "magnitude"]
"""What units are ranked by."""


@dataclass(frozen=True)
class Units:
    """What can be left out of the blocks of a network, and how much of it stays.

    Args:
        config: The config of the new size.
        groups: The parameters of each block that have entries for units.
        count: Units of a block before.
        kept: Units of a block afterwards.
        stacked: As for `magnitudes`: True for neurons, False for heads.
    """

    config: Any
    groups: tuple[Cuts, ...]
    count: int
    kept: int
    stacked: bool


@dataclass(frozen=True)
class Pruned:
    """What is left after units were left out, and has recovered.

    Args:
        network: The smaller network.
        dropped: The units that are left out of each group.
        told: What a stage tells of it.
    """

    network: Network
    dropped: list[list[int]]
    told: dict[str, Any]


def prune_units(
    folder: ModelFolder,
    network: Network,
    units: Units,
    by: By,
    recovery: Recovery,
    evidence: Evidence,
    *,
    rows: int,
    seed: int,
    tell: Tell,
) -> Pruned:
    """Leave out the units that matter least, and let the rest recover.

    Args:
        folder: The model.
        network: Its network; it stays as it is.
        units: What its units are, and how many stay.
        by: What they are ranked by.
        recovery: How the rest learns from the unpruned model.
        evidence: Rows for `taylor`, and to recover on.
        rows: Rows at the most that `taylor` looks at.
        seed: Seed of all randomness.
        tell: Hears how far it has come.

    Raises:
        ModelError: If the smaller network does not answer as the large one does with the others
            silenced.
    """
    scores = unit_scores(folder, units, by, evidence, rows=rows, seed=seed, tell=tell)
    smaller, dropped = keep_units(network, units, scores)
    told = {
        "parameters": [sizes(network), sizes(smaller)],
        "score_kept": kept_score(scores, dropped),
        "recovery": recover(smaller, folder, evidence.train, recovery, seed, tell),
    }
    return Pruned(smaller, dropped, told)


def unit_scores(
    folder: ModelFolder,
    units: Units,
    by: By,
    evidence: Evidence,
    *,
    rows: int,
    seed: int,
    tell: Tell,
) -> list[NDArray[np.float64]]:
    """The score of each unit of each block, [units] for every group.

    Args:
        folder: The model.
        units: What its units are.
        by: What they are ranked by.
        evidence: Rows for `taylor`.
        rows: Rows at the most.
        seed: Seed of the draw of these rows.
        tell: Hears how far it has come.
    """
    network, encoder = resizable_network(folder, "prune")
    if by == "taylor":
        found = saliency(
            network,
            folder.head,
            folder.task,
            evidence.train,
            {group.reader: units.count for group in units.groups},
            rows=rows,
            seed=seed,
            tell=tell,
        )
        scores = [found.units[group.reader] for group in units.groups]
    else:
        weights = encoder.backbone.state_dict()
        scores = [
            magnitudes(
                weights,
                {cut.name: cut.axis for cut in group.cuts},
                group.reader,
                units.count,
                stacked=units.stacked,
            )
            for group in units.groups
        ]
    if _shared(encoder, units.groups):
        whole = np.sum([score / (score.sum() or 1.0) for score in scores], axis=0)
        return [whole] * len(scores)
    return scores


def keep_units(
    network: Network, units: Units, scores: Sequence[NDArray[np.float64]]
) -> tuple[Network, list[list[int]]]:
    """A network with the units of the best scores alone.

    Args:
        network: The network; it stays as it is.
        units: What its units are.
        scores: What `unit_scores` gave.

    Returns:
        The smaller network, and the units that are left out of each group.

    Raises:
        ModelError: If it does not answer as the large one does with the others silenced.
    """
    encoder = network.encoder
    assert isinstance(encoder, Resizable)
    places: dict[Cut, NDArray[np.int64]] = {}
    silenced: dict[str, NDArray[np.bool_]] = {}
    dropped = []
    for group, score in zip(units.groups, scores, strict=True):
        # Stable, so that of equal units the earlier ones stay.
        order = np.argsort(-score, kind="stable")
        kept = np.sort(order[: units.kept])
        gone = np.ones(units.count, dtype=bool)
        gone[kept] = False
        for cut in group.cuts:
            places[cut] = _places(cut.length, units, kept)
            if cut.name == f"{group.reader}.weight":
                silenced[group.reader] = gone.repeat(cut.length // units.count)
        dropped.append(np.flatnonzero(gone).tolist())
    weights = cut_weights(encoder.backbone.state_dict(), places)
    smaller = rebuilt(network, units.config, weights)
    check_same(network, smaller, silenced)
    return smaller, dropped


def kept_score(
    scores: Sequence[NDArray[np.float64]], dropped: Sequence[Sequence[int]]
) -> list[float]:
    """The share of each block's score that stays, 0 to 1."""
    return [
        round(1.0 - float(score[list(gone)].sum() / (score.sum() or 1.0)), 4)
        for score, gone in zip(scores, dropped, strict=True)
    ]


def sizes(network: Network) -> int:
    """The number of a network's weights."""
    return sum(weight.numel() for weight in network.parameters())


def _places(length: int, units: Units, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the entries of some units stand along an axis, ascending."""
    if units.stacked:
        starts = np.arange(0, length, units.count)
        return np.concatenate([start + kept for start in starts])
    size = length // units.count
    found: NDArray[np.int64] = (kept[:, None] * size + np.arange(size)).ravel()
    return found


def _shared(encoder: Resizable, groups: Sequence[Cuts]) -> bool:
    """Whether all blocks must keep the same units: T5's blocks share one position bias a head."""
    modules: Mapping[str, nn.Module] = dict(encoder.backbone.named_modules())
    return any(
        isinstance(modules[cut.name.rpartition(".")[0]], nn.Embedding)
        for group in groups
        for cut in group.cuts
    )
