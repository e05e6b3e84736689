"""What a merge works with: the family, its rows, and one network whose weights are set anew.

Coefficients are searched here: deltas stay in memory, a weight is copied only where it has changed
since the last try, and the validation rows are tokenised once.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.answering import Evidence, Tell
from transfuse.data import evaluation_batches, seed_for
from transfuse.errors import DataError, Problem
from transfuse.evaluation import evaluate
from transfuse.fusion.merges.family import Family, Weights, text_encoder
from transfuse.fusion.merges.heads import merge_heads
from transfuse.fusion.merges.search import Worth
from transfuse.models import (
    Batch,
    Engine,
    Feed,
    Feeds,
    Head,
    Inference,
    Network,
    probe_engine,
    read_inputs,
)

__all__ = ["HEAD", "Work"]

HEAD = "target"
"""The head of a merged network, as a model folder with one head calls it."""

_BATCH_TOKENS = 2048


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
        encoder = text_encoder(network)
        for name, buffer in encoder.backbone.named_buffers():
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
        parameters = dict(text_encoder(self.network).backbone.named_parameters())
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

    @cached_property
    def _feed(self) -> Feed:
        return self.feed(self.evidence.validation.texts())

    def feed(self, texts: Sequence[str]) -> Feed:
        """Texts, ready for the network or for a member.

        Args:
            texts: The texts.
        """
        return Feeds(self.network).feed(read_inputs(self.family.encoder, texts))

    def batches(self, texts: Sequence[str], tokens: int = _BATCH_TOKENS) -> Iterator[Batch]:
        """Texts in batches of like length.

        Args:
            texts: The texts.
            tokens: Padded tokens of a batch at the most. Default: 2,048.

        Yields:
            Token ids and mask.
        """
        encoder = self.family.encoder
        rows = encoder.preprocess(texts)
        for some in evaluation_batches(rows.lengths, tokens):
            yield encoder.collate(rows.take(some))

    def texts(self, rows: int, member: int | None = None) -> list[str]:
        """Training texts; see `rows`.

        Args:
            rows: How many at the most.
            member: Only texts that this member learnt from, where there are any. Default: all.
        """
        return self.evidence.train.take(self.rows(rows, member)).texts()

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
