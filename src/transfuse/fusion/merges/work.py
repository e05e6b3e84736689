"""What a merge works with: the family, its rows, and one network whose weights are set anew.

Coefficients are searched here: deltas stay in memory, a weight is copied only where it has changed
since the last try, and the validation rows are prepared once. Weights are never judged with
BatchNorm statistics that belong to others: these are measured before (`batch_norm.py`).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.answering import Evidence, Tell
from transfuse.data import Preprocessed, Table, evaluation_batches, seed_for
from transfuse.errors import DataError, Problem
from transfuse.evaluation import evaluate
from transfuse.fusion.merges.batch_norm import Repair, has_batch_norm
from transfuse.fusion.merges.family import Family, Weights, backbone_of, parameters_of
from transfuse.fusion.merges.heads import merge_heads
from transfuse.fusion.merges.search import Worth
from transfuse.models import (
    Batch,
    Engine,
    Feed,
    Feeds,
    Head,
    Inference,
    Inputs,
    Network,
    probe_engine,
)

__all__ = ["HEAD", "Work"]

HEAD = "target"
"""The head of a merged network, as a model folder with one head calls it."""

_BATCH_TOKENS = 2048
_STATISTICS_ROWS = 512


class Work:
    """What a merge works with.

    Args:
        family: The models.
        evidence: Rows to fit on and to choose by.
        seed: Seed of all randomness.
        tell: Hears how far it has come.
    """

    def __init__(self, family: Family, evidence: Evidence, seed: int, tell: Tell) -> None:
        self.family = family
        self.evidence = evidence
        self.seed = seed
        self.tell = tell
        self._held: Weights = {}
        self._shares: tuple[float, ...] | None = None

    @cached_property
    def network(self) -> Network:
        """A network of the family whose weights `put` sets; at first those of the first member."""
        first = self.family.networks[0]
        (column,) = first.encoders
        network = Network({column: copy.deepcopy(first.encoder)}, {HEAD: self._head(None)})
        for name, buffer in backbone_of(network.encoder).named_buffers():
            # Counters, masks and tables are nothing that models learn: they are the ancestor's.
            if name in self.family.buffers and buffer.shape == self.family.buffers[name].shape:
                buffer.copy_(self.family.buffers[name])
        return network.eval()

    def put(
        self, weights: Mapping[str, torch.Tensor], shares: Sequence[float] | None = None
    ) -> None:
        """Set weights of the network.

        Args:
            weights: New weights of the backbone by name; those that are the very tensors of the
                last call are left alone, and so are names that are not given.
            shares: What each member's head counts. Default: the same.
        """
        parameters = parameters_of(self.network)
        with torch.no_grad():
            for name, value in weights.items():
                if self._held.get(name) is not value:
                    parameters[name].copy_(value)
                    self._held[name] = value
        wanted = None if shares is None else tuple(shares)
        if wanted != self._shares:
            self.network.heads[HEAD] = self._head(wanted)
            self._shares = wanted

    def worth(
        self, weights: Mapping[str, torch.Tensor], shares: Sequence[float] | None = None
    ) -> Worth:
        """What weights are worth on the validation rows.

        Args:
            weights: As for `put`.
            shares: Likewise.
        """
        self.put(weights, shares)
        self.measure()
        return self.as_it_is()

    def as_it_is(self) -> Worth:
        """What the network is worth on the validation rows, with all that it holds now."""
        logits = Inference(self.network, self.engine).logits(self._feed, HEAD)
        return self.judged(logits)

    def judged(self, logits: torch.Tensor) -> Worth:
        """What logits of the validation rows are worth.

        Args:
            logits: Of the family's task, [rows, outputs].
        """
        task, targets = self.family.task, self.targets
        scores = task.scores(logits).double().numpy()
        metric = evaluate((task.primary,), scores, targets)[task.primary]
        return float(metric), -float(task.loss(logits, torch.from_numpy(targets)))

    @cached_property
    def engine(self) -> Engine:
        """The arithmetic that scores are measured with."""
        return probe_engine()

    @cached_property
    def targets(self) -> NDArray[np.int64] | NDArray[np.float32]:
        """The validation rows' labels, as the task encodes them.

        Raises:
            DataError: If there are no such rows, or the models know none of some label.
        """
        table = self.evidence.validation
        if not len(table):
            raise DataError(
                Problem(
                    "validation",
                    "there are no rows to choose by",
                    "labelled rows that no model learnt from",
                    "Set `split.validation`, or give the coefficient.",
                )
            )
        return self.family.task.targets(table)

    def measure(self) -> int:
        """Measure the statistics of the network's BatchNorm layers anew, if it has any.

        Returns:
            The number of layers.

        Raises:
            DataError: If there are such layers and no training rows.
        """
        encoder = self.network.encoder
        return self.repair.measure(encoder, self._shares) if has_batch_norm(encoder) else 0

    @cached_property
    def repair(self) -> Repair:
        """The members' BatchNorm layers on training rows, without labels."""
        batches = list(self.batches(self.inputs(_STATISTICS_ROWS)))
        return Repair([network.encoder for network in self.family.networks], batches, self.tell)

    @cached_property
    def _feed(self) -> Feed:
        rows = self.prepared(self.evidence.validation)
        return Feeds(self.network).feed(Inputs(rows, rows.keys()))

    def prepared(self, table: Table) -> Preprocessed:
        """Rows as the members' encoder prepares them.

        Args:
            table: The rows.
        """
        encoder = self.family.encoder
        return encoder.preprocess(table.inputs(encoder.reads))

    def batches(self, rows: Preprocessed, tokens: int = _BATCH_TOKENS) -> Iterator[Batch]:
        """Rows in batches of like length.

        Args:
            rows: The rows.
            tokens: Padded tokens of a batch at the most. Default: 2,048.

        Yields:
            What the encoder reads.
        """
        for some in evaluation_batches(rows.lengths, tokens):
            yield self.family.encoder.collate(rows.take(some))

    def inputs(self, rows: int, member: int | None = None) -> Preprocessed:
        """Prepared training rows; see `rows`.

        Args:
            rows: How many at the most.
            member: Only rows that this member learnt from, where there are any. Default: all.
        """
        return self.prepared(self.evidence.train.take(self.rows(rows, member)))

    def rows(self, rows: int, member: int | None = None) -> NDArray[np.int64]:
        """Places of training rows, drawn without regard to the order of the members.

        Args:
            rows: How many at the most.
            member: Only rows that this member learnt from, where there are any. Default: all.

        Raises:
            DataError: If there are no training rows.
        """
        table = self.evidence.train
        if not len(table):
            raise DataError(Problem("train", "there are no rows", "rows that the models know"))
        order = np.random.default_rng(seed_for(self.seed, "merge rows")).permutation(len(table))
        if member is not None:
            learnt = self.family.members[member].training_keys
            own = order[[self._keys[row] in learnt for row in order]]
            order = own if len(own) else order
        return order[:rows]

    @cached_property
    def _keys(self) -> list[bytes]:
        return self.evidence.train.row_keys()

    def _head(self, shares: tuple[float, ...] | None) -> Head:
        family = self.family
        return merge_heads(
            [next(iter(network.heads.values())) for network in family.networks],  # type: ignore[misc]
            [member.task.label_names for member in family.members],
            family.task.label_names,
            shares,
        )
