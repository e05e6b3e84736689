"""Heads with labels of their own: rows of one label are averaged, the others stand side by side."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from transfuse.answering import ModelFolder
from transfuse.errors import ModelError, Problem
from transfuse.models import Head, LinearHead, NativeHead
from transfuse.tasks import Classification, MultiLabel, Regression, Task

__all__ = ["align_rows", "merge_heads", "output_layer", "union_of"]


def union_of(models: Sequence[ModelFolder]) -> Task:
    """What several models answer together: one task over all their labels.

    Args:
        models: The models.

    Returns:
        The first one's task with the labels of the others after its own, in their order.

    Raises:
        ModelError: If they answer questions of different kinds, or on different scales.
    """
    first = models[0].task
    for model in models[1:]:
        task = model.task
        scales = isinstance(first, Regression) and task != first
        if type(task) is not type(first) or scales:
            raise ModelError(
                Problem(
                    str(model.path),
                    f"answers {task.kind}" + (" on another scale" if scales else ""),
                    f"{first.kind}, as {models[0].path}",
                )
            )
    if isinstance(first, Classification | MultiLabel):
        names = dict.fromkeys(name for model in models for name in model.task.label_names)
        return replace(first, labels=tuple(names))
    return first


def align_rows(
    parts: Sequence[torch.Tensor],
    names: Sequence[Sequence[str]],
    labels: Sequence[str],
    shares: Sequence[float] | None = None,
) -> torch.Tensor:
    """Rows of several heads as one head's, by the names of the labels.

    Args:
        parts: Weights or biases of the output layers, [labels of the head, …] each.
        names: The labels of each head, in the order of its rows.
        labels: The labels of the new head.
        shares: What each head counts where several know a label. Default: the same. Where those
            that know a label have no share, they count the same.

    Returns:
        The new head's rows, [labels, …].
    """
    weights = [1.0] * len(parts) if shares is None else list(shares)
    rows = []
    for label in labels:
        found = [
            (weight, part[list(known).index(label)])
            for weight, part, known in zip(weights, parts, names, strict=True)
            if label in known
        ]
        total = sum(weight for weight, _ in found)
        if total <= 0:
            found, total = [(1.0, row) for _, row in found], float(len(found))
        rows.append(torch.stack([row * (weight / total) for weight, row in found]).sum(0))
    return torch.stack(rows)


def merge_heads(
    heads: Sequence[Head],
    names: Sequence[Sequence[str]],
    labels: Sequence[str],
    shares: Sequence[float] | None = None,
) -> Head:
    """One head of several.

    Args:
        heads: The heads, all linear or all of one architecture.
        names: The labels of each, in the order of its outputs.
        labels: The labels of the new head.
        shares: What each head counts. Default: the same.

    Returns:
        A new head; layers of a native head below its last one are averaged.

    Raises:
        ModelError: If the heads are of different kinds, or a native one has no last layer.
    """
    first = heads[0]
    outputs = [output_layer(head) for head in heads]
    if len({(type(head), layer.in_features) for head, layer in zip(heads, outputs)}) > 1:  # noqa: B905
        kinds = ", ".join(sorted({type(head).__name__ for head in heads}))
        raise ModelError(Problem("heads", f"they differ: {kinds}", "heads of one kind"))
    head = _empty(first, outputs[0], labels)
    layer = output_layer(head)
    with torch.no_grad():
        inner = [dict(each.named_parameters()) for each in heads]
        last = {id(value) for value in layer.parameters()}
        for name, value in head.named_parameters():
            if id(value) not in last:
                total = 1.0 * len(heads) if shares is None else sum(shares)
                counts = [1.0] * len(heads) if shares is None else shares
                value.copy_(
                    torch.stack(
                        [part[name] * (count / total) for part, count in zip(inner, counts)]  # noqa: B905
                    ).sum(0)
                )
        layer.weight.copy_(align_rows([each.weight for each in outputs], names, labels, shares))
        if layer.bias is not None:
            biases = [each.bias for each in outputs]
            layer.bias.copy_(align_rows(biases, names, labels, shares))
    return head.eval()


def output_layer(head: Head) -> nn.Linear:
    """The linear layer of a head whose rows are its labels.

    Args:
        head: The head.

    Raises:
        ModelError: If it ends in no such layer.
    """
    if isinstance(head, LinearHead):
        return head.classifier
    name = _last_linear(head)
    layer = head.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _last_linear(head: Head) -> str:
    found: list[str] = [
        name
        for name, part in head.named_modules()
        if isinstance(part, nn.Linear) and part.out_features == head.outputs
    ]
    if not found:
        raise ModelError(
            Problem(
                "heads",
                f"{type(head).__name__} ends in no linear layer of {head.outputs} outputs",
                "a head whose labels are rows of weights",
                "Train with another `pooling`, such as mean.",
            )
        )
    return found[-1]


def _empty(head: Head, layer: nn.Linear, labels: Sequence[str]) -> Head:
    """A head like this one for other labels; its weights are still to be set."""
    if isinstance(head, LinearHead):
        return LinearHead(
            layer.in_features,
            len(labels),
            head.dropout.p,
            labels=labels,
            problem_type=head.problem_type,
        )
    assert isinstance(head, NativeHead)
    new = copy.deepcopy(head)
    model: Any = new.model
    place, _, attribute = _last_linear(new).rpartition(".")
    fresh = nn.Linear(layer.in_features, len(labels), bias=layer.bias is not None)
    setattr(new.get_submodule(place), attribute, fresh)
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: place for place, label in enumerate(labels)}
    model.num_labels = new.outputs = len(labels)
    new.labels = tuple(labels)
    return new
