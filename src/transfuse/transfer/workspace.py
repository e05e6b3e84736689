"""What the runs of one process share: loaded encoders, tokenised tables, the feature store.

A run asks for an encoder and gets a copy of its own; nothing that a run does reaches another.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.data import Augmenting, Records, Role
from transfuse.models import (
    Encoder,
    Fusion,
    Inputs,
    Network,
    Store,
    read_inputs,
)
from transfuse.tasks import Task
from transfuse.training import Engines
from transfuse.training.teachers import Teacher, open_teacher
from transfuse.transfer.choices import Neural
from transfuse.transfer.domains import Prepared
from transfuse.transfer.networks import Material, open_for_tasks, open_network

__all__ = ["Engines", "Workspace"]


class Workspace:
    """Shared, read-only material of a process's runs.

    Args:
        prepared: The data.
        engines: The arithmetic of this machine.
        store: Where features are kept.
    """

    def __init__(self, prepared: Prepared, engines: Engines, store: Store) -> None:
        self.prepared = prepared
        self.engines = engines
        self.store = store
        self._networks: dict[tuple[Neural, tuple[tuple[str, Task], ...], int], Network] = {}
        self._inputs: dict[tuple[str, str], Inputs] = {}
        self._teachers: dict[str, Teacher] = {}

    def network(self, model: Neural, heads: Mapping[str, Task], seed: int) -> Network:
        """A fresh network: the source's encoder and new heads.

        Args:
            model: Which encoder.
            heads: The task of each head; the first may be the architecture's own.
            seed: Seed of all weights that are drawn.
        """
        key = (model, tuple(heads.items()), seed)
        if key not in self._networks:
            self._networks[key] = self._load(model, heads, seed)
        return copy.deepcopy(self._networks[key])

    def _load(self, model: Neural, heads: Mapping[str, Task], seed: int) -> Network:
        return open_network(model, heads, seed, self._material)

    @property
    def _material(self) -> Material:
        reads = self.prepared.target.table.reads
        return Material(reads, self.store, lambda: self.engines.encode, self._field_rows)

    def _field_rows(self) -> Sequence[Any]:
        """The structured columns of the target's training rows."""
        target = self.prepared.target
        found = target.table.take(target.parts.train).inputs((Role.FIELDS,))
        assert isinstance(found, Records)
        return found.parts[Role.FIELDS]

    def task_network(
        self, model: Neural, heads: Mapping[str, Task], fusion: Fusion | None, seed: int
    ) -> Network:
        """A fresh network of several tasks.

        Args:
            model: Which encoder.
            heads: The task of each head.
            fusion: What stands between encoder and heads. Default: nothing.
            seed: Seed of all weights that are drawn.
        """
        return open_for_tasks(model, heads, fusion, seed, self._material)

    def of_task(self, name: str) -> "Workspace":
        """The material of one of several tasks alone."""
        return Workspace(self.prepared.of_task(name), self.engines, self.store)

    def inputs(self, encoder: Encoder, domain: str, rows: NDArray[np.int64]) -> Inputs:
        """Preprocessed rows of a domain.

        Args:
            encoder: Whose preprocessing they get.
            domain: `target` or `source`.
            rows: Which rows, in order.
        """
        kept = (domain, encoder.preprocessing)
        if kept not in self._inputs:
            table = self.prepared.domain(domain).table
            self._inputs[kept] = read_inputs(encoder, table.inputs(encoder.reads))
        return self._inputs[kept].take(rows)

    def variants(
        self,
        encoder: Encoder,
        domain: str,
        rows: NDArray[np.int64],
        augmenting: Augmenting,
        seed: int,
    ) -> tuple[Inputs, ...]:
        """Preprocessed rows of a domain with their texts varied, copy by copy.

        Args:
            encoder: Whose preprocessing they get.
            domain: The stream's name.
            rows: Which rows, in order.
            augmenting: How texts are varied.
            seed: The run's seed.
        """
        read = self.prepared.domain(domain).table.take(rows).inputs(encoder.reads)
        return tuple(read_inputs(encoder, copy) for copy in augmenting.vary(read, seed))

    def teacher(self, name: str) -> Teacher:
        """A teacher, opened once.

        Args:
            name: A model folder or the name of a model.
        """
        if name not in self._teachers:
            self._teachers[name] = open_teacher(name)
        return self._teachers[name]
