"""A model from what the labels mean: run a zero-shot recipe without reading a labelled row."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.answering.entailment import EntailmentModel
from transfuse.answering.text_labels import TextLabels
from transfuse.data import Role, seed_for
from transfuse.errors import ModelError, Problem
from transfuse.models import Feeds, Inference, LinearHead, Network, read_inputs
from transfuse.models.pairs import open_pairs
from transfuse.tasks import Classification
from transfuse.training import Fitted
from transfuse.transfer.choices import Pretrained
from transfuse.transfer.plan import Plan
from transfuse.transfer.trained import Trained, TrainedNetwork
from transfuse.transfer.workspace import Workspace
from transfuse.transfer.zero_shot import ZeroShot, label_texts, prototype_head

__all__ = ["TrainedAnswerer", "zero_shot"]

_CALIBRATED_ON = 256
"""Rows that a model that entails is calibrated on; each takes a pass for each hypothesis."""

_COMPARED_ON = 2048
"""Pictures that a model which compares them with texts is calibrated on."""

_SCALE = 20.0
"""Factor of an encoder's cosines where none is given."""

_NOTHING_LEARNT = Fitted(steps=0, seconds=0.0, trained_parameters=0)


def zero_shot(plan: Plan, options: ZeroShot, workspace: Workspace) -> Trained:
    """The model of a zero-shot recipe.

    Args:
        plan: The plan; of its seed only the rows follow that entailment is calibrated on.
        options: What the labels mean, and to which model.
        workspace: Data, engine and feature store. Of the unlabelled rows, or where there are none
            of the target's training rows, the texts are read; labels never are.

    Raises:
        ModelError: If the task is not single-label classification, or the model cannot be used.
        RecipeError: If a label's description is missing or misnamed.
    """
    task = workspace.prepared.target.task
    if not isinstance(task, Classification):
        raise ModelError(Problem("model.zero_shot", f"the task is {task.kind}", "one label a row"))
    texts = label_texts(options, task.labels)
    rows = workspace.prepared.domain("unlabelled").parts.train
    if options.entails is not None:
        entailing = EntailmentModel.open(options.entails, texts, options.max_length)
        return _answering(entailing, _CALIBRATED_ON, plan, options, workspace, rows)
    if options.pairs is not None:
        comparing = TextLabels.of(open_pairs(options.pairs), texts, options.scale)
        return _answering(comparing, _COMPARED_ON, plan, options, workspace, rows)
    network = _plain_network(options, workspace)
    head = network.heads["target"]
    assert isinstance(head, LinearHead)
    encoder = network.encoder
    engine = workspace.engines.encode
    frozen = encoder.depth if plan.train.prefix_cache else 0
    feeds = Feeds(network, frozen, workspace.store, engine)
    inference = Inference(network, engine)
    flat = [text for of_label in texts for text in of_label]
    ends = np.cumsum([len(of_label) for of_label in texts])
    labels = inference.features(feeds.feed(read_inputs(encoder, flat))).numpy()
    features = inference.features(feeds.feed(workspace.inputs(encoder, "unlabelled", rows))).numpy()
    weights, biases = prototype_head(
        np.split(labels, ends[:-1]),
        features,
        calibrate=options.calibrate,
        scale=options.scale or _SCALE,
    )
    with torch.no_grad():
        head.classifier.weight.copy_(torch.from_numpy(weights))
        head.classifier.bias.copy_(torch.from_numpy(biases))
    return _Untrained(network, _NOTHING_LEARNT, workspace, plan.train.prefix_cache)


class _Untrained(TrainedNetwork):
    """A network that no tuning has touched."""

    def finish(self, plan: Plan, folder: Path | None) -> None:
        """See `Trained.finish`; the model is in its final form."""
        return


class TrainedAnswerer(Trained):
    """A model that knows the labels by their texts: it entails, or compares with pictures."""

    def __init__(self, model: EntailmentModel | TextLabels, workspace: Workspace) -> None:
        self.model = self._model = model
        self.trained_parameters = 0
        self.total_parameters = model.parameters
        self._workspace = workspace

    @property
    def reads(self) -> tuple[Role, ...]:
        """See `Trained.reads`."""
        return self._model.reads

    def rows(self, domain: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Trained.rows`."""
        table = self._workspace.prepared.domain(domain).table.take(rows)
        return self.read(table.inputs(self.reads))

    def read(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        """See `Trained.read`."""
        return self._model.scores(rows)


def _answering(
    model: EntailmentModel | TextLabels,
    most: int,
    plan: Plan,
    options: ZeroShot,
    workspace: Workspace,
    rows: NDArray[np.int64],
) -> TrainedAnswerer:
    """The model, calibrated on so many of the rows without labels if that is asked for."""
    if not options.calibrate:
        return TrainedAnswerer(model, workspace)
    rng = np.random.default_rng(seed_for(plan.seed, "calibration"))
    some = np.sort(rng.permutation(rows)[:most])
    table = workspace.prepared.domain("unlabelled").table.take(some)
    return TrainedAnswerer(model.calibrated(table.inputs(model.reads)), workspace)


def _plain_network(options: ZeroShot, workspace: Workspace) -> Network:
    """An encoder with a linear head on its pooled vectors, in evaluation mode, all of it frozen."""
    assert options.encoder is not None
    model = Pretrained(options.encoder, options.pooling, options.max_length, dropout=0.0)
    heads = {"target": workspace.prepared.target.task}
    network = workspace.network(model, heads, 0)
    if not isinstance(network.heads["target"], LinearHead):
        # The architecture's own head would read a vector that was never trained to be compared.
        network = workspace.network(replace(model, pooling="mean"), heads, 0)
    return network.requires_grad_(False)
