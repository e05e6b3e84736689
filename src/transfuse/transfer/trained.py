"""A trained model as the rest of Transfuse sees it: rows in, scores out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering import ClassicalModel, Kept, ModelFolder
from transfuse.answering.members import aligned_scores, parameters_of
from transfuse.data import Role
from transfuse.errors import ModelError, Problem
from transfuse.models import (
    Feed,
    Feeds,
    Inference,
    Inputs,
    JoinedEncoder,
    JoinedRows,
    Network,
    read_inputs,
)
from transfuse.tasks import Task
from transfuse.training import Fitted
from transfuse.transfer.plan import Plan
from transfuse.transfer.workspace import Workspace
from transfuse.tuning import frozen_layers

__all__ = ["Trained", "TrainedClassical", "TrainedFolder", "TrainedNetwork", "aligned"]

Scores = NDArray[np.float64]


class Trained(ABC):
    """A model after its run, before it is measured and kept."""

    model: Kept
    trained_parameters: int
    total_parameters: int
    fitted: Fitted | None = None

    @property
    def reads(self) -> tuple[Role, ...]:
        """The roles of the columns that it reads. Default: text."""
        return (Role.TEXT,)

    @abstractmethod
    def rows(self, domain: str, rows: NDArray[np.int64]) -> Scores:
        """Scores for rows of a domain, [n, outputs]."""

    def ablated(self, domain: str, rows: NDArray[np.int64]) -> dict[str, Scores]:
        """Scores for rows of a domain with some of the columns taken away.

        Returns:
            Scores by the columns that are left, their names put together with +: each alone, all
            but each, and none. Nothing for a model that reads one column.
        """
        return {}

    def finish(self, plan: Plan, folder: Path | None) -> None:
        """Bring the model into the form in which it is kept and answers.

        Args:
            plan: Whose tuning it was trained by.
            folder: Where what moved is written on its own, if it has such a form. Default: nowhere.
        """
        return

    @abstractmethod
    def read(self, rows: Sequence[Any]) -> Scores:
        """Scores for rows of no domain, as `Table.inputs` gives them, [n, outputs]."""


class TrainedClassical(Trained):
    """The TF-IDF baseline."""

    def __init__(self, model: ClassicalModel, workspace: Workspace) -> None:
        self.model = self._model = model
        self.trained_parameters = self.total_parameters = model.parameters
        self._workspace = workspace

    def rows(self, domain: str, rows: NDArray[np.int64]) -> Scores:
        """See `Trained.rows`."""
        table = self._workspace.prepared.domain(domain).table.take(rows)
        return self.read(table.inputs(self.reads))

    def read(self, rows: Sequence[str]) -> Scores:
        """See `Trained.read`."""
        return self._model.scores(rows)


class TrainedNetwork(Trained):
    """A network; what its run left frozen is read from the feature store.

    Args:
        network: The trained network.
        fitted: What training reported.
        workspace: Data, engine and feature store.
        cached: Whether features of frozen layers may be used.
    """

    def __init__(
        self, network: Network, fitted: Fitted, workspace: Workspace, cached: bool
    ) -> None:
        self.model = self._network = network
        self.fitted = fitted
        self.trained_parameters = fitted.trained_parameters
        self.total_parameters = sum(weight.numel() for weight in network.parameters())
        self._workspace = workspace
        moved = [weight for weight in network.parameters() if weight.requires_grad]
        frozen = frozen_layers(network.encoder, moved) if cached else 0
        kept = frozen > 1 or frozen == network.encoder.depth
        usable = kept and network.can_resume(frozen)
        engine = workspace.engines.encode
        self._feeds = Feeds(
            network,
            frozen if usable else 0,
            workspace.store,
            engine,
            moved if cached else None,
        )
        self._inference = Inference(network, engine)

    def rows(self, domain: str, rows: NDArray[np.int64]) -> Scores:
        """See `Trained.rows`."""
        space = self._workspace
        inputs = space.inputs(self._network.encoder, domain, rows)
        return self._scores(self._feeds.feed(inputs), domain)

    def ablated(self, domain: str, rows: NDArray[np.int64]) -> dict[str, Scores]:
        """See `Trained.ablated`; what is taken away is as if no row had it."""
        encoder = self._network.encoder
        if not isinstance(encoder, JoinedEncoder) or len(encoder.columns) < 2:
            return {}
        inputs = self._workspace.inputs(encoder, domain, rows)
        assert isinstance(inputs.tokens, JoinedRows)
        names = [column.name for column in encoder.columns]
        left: list[tuple[str, ...]] = [(name,) for name in names]
        left += [tuple(other for other in names if other != name) for name in names]
        found = {}
        for some in dict.fromkeys([*left, ()]):
            rest = inputs.tokens.without(set(names).difference(some))
            feed = self._feeds.feed(Inputs(rest, inputs.keys))
            found["+".join(some)] = self._scores(feed, domain)
        return found

    @property
    def reads(self) -> tuple[Role, ...]:
        """See `Trained.reads`."""
        return self._network.encoder.reads

    def read(self, rows: Sequence[Any]) -> Scores:
        """See `Trained.read`."""
        inputs = read_inputs(self._network.encoder, rows)
        return self._scores(Feeds(self._network).feed(inputs), "target")

    def finish(self, plan: Plan, folder: Path | None) -> None:
        """See `Trained.finish`; an adapter is written and then merged into the weights."""
        if folder is not None:
            plan.tune.export(self._network, folder)
        plan.tune.finish(self._network)
        self._inference = Inference(self._network, self._workspace.engines.encode)

    def _scores(self, feed: Feed, domain: str) -> Scores:
        prepared = self._workspace.prepared
        # The target's head answers for the source too; each of several tasks has its own.
        first = next(iter(prepared.tasks), "target")
        head = domain if domain in prepared.tasks else first
        task = prepared.domain(head).task
        scores: Scores = task.scores(self._inference.logits(feed, head)).double().numpy()
        return scores


class TrainedFolder(Trained):
    """A model that stands in a folder, as another run or a stage after training left it.

    Args:
        opened: The model.
        workspace: The rows that it is asked about.
        partly: Whether it may know only some of their labels; see `aligned`. Default: no.
    """

    def __init__(self, opened: ModelFolder, workspace: Workspace, partly: bool = False) -> None:
        self.model = opened.model
        self.task = opened.task
        self.trained_parameters = 0
        self.total_parameters = parameters_of([opened])
        self._opened = opened
        self._workspace = workspace
        self._partly = partly

    def rows(self, domain: str, rows: NDArray[np.int64]) -> Scores:
        """See `Trained.rows`."""
        table = self._workspace.prepared.domain(domain).table.take(rows)
        return self.read(table.inputs(self.reads))

    @property
    def path(self) -> Path:
        """The folder."""
        return self._opened.path

    @property
    def reads(self) -> tuple[Role, ...]:
        """See `Trained.reads`."""
        return self._opened.reads

    def read(self, rows: Sequence[Any]) -> Scores:
        """See `Trained.read`."""
        task = self._workspace.prepared.target.task
        return aligned(self.own(rows), self.task, task, self._partly)

    def own(self, rows: Sequence[Any]) -> Scores:
        """Scores over the model's own labels, of which the rows may have only some.

        Args:
            rows: The rows.
        """
        return self._opened.scores(rows)


def aligned(scores: Scores, have: Task, want: Task, partly: bool = False) -> Scores:
    """Scores in the order of another task's labels; labels that it lacks are left out.

    Args:
        scores: What a model answers, [n, outputs].
        have: The model's task.
        want: The task whose labels name the columns.
        partly: Whether the model may know only some of the labels: it gives the others the
            probability 0, and so is wrong on their rows. Default: no.

    Returns:
        Scores [n, outputs of `want`]; probabilities of the classes that are left sum to 1.

    Raises:
        ModelError: If the model does not know a label (with `partly`, knows none of them), or
            answers another kind of question.
    """
    missing = [name for name in want.label_names if name not in have.label_names]
    unlike = missing and (not partly or len(missing) == len(want.label_names))
    if have.kind != want.kind or unlike:
        what = f"knows no label {missing[0]!r}" if missing else f"does {have.kind}"
        raise ModelError(Problem("model", what, f"{want.kind} with the target's labels"))
    if want.kind == "regression":
        return scores
    known = [name for name in want.label_names if name in have.label_names]
    own: Scores = scores[:, [have.label_names.index(name) for name in known]]
    chosen = aligned_scores(own, known, want.label_names)
    if want.kind == "classification" and len(known) < scores.shape[1]:
        chosen = chosen / np.maximum(chosen.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return chosen
