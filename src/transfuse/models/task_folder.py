"""Networks of several tasks as transformers models, and back."""

from typing import Any

import torch
from torch import nn

from transfuse._hub_config import TransfuseTasksConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.fusion import FUSIONS, TaskVectors
from transfuse.models.heads import LinearHead
from transfuse.models.hub_tasks import TransfuseForTasks
from transfuse.models.network import Network
from transfuse.models.source import Source, pretrained
from transfuse.models.text import TextEncoder
from transfuse.recipe.methods import spec_of

__all__ = ["check_names", "has_tasks", "tasks_model", "tasks_network"]


def has_tasks(network: Network) -> bool:
    """Whether a network needs a folder that holds several heads, or a fusion before them."""
    return len(network.heads) > 1 or isinstance(network.fusion, TaskVectors)


def tasks_model(network: Network, options: dict[str, Any]) -> TransfuseForTasks:
    """A network as one transformers model, sharing the network's parameters.

    Args:
        network: One text encoder and linear heads.
        options: What the config says of the encoder.

    Raises:
        ModelError: If the network has another shape, or has parameters that its architecture does
            not know (adapters that were not merged).
    """
    encoder, heads = network.encoder, dict(network.heads.items())
    linear = {name: head for name, head in heads.items() if isinstance(head, LinearHead)}
    if not isinstance(encoder, TextEncoder) or len(linear) < len(heads):
        kinds = ", ".join(sorted({type(head).__name__ for head in heads.values()}))
        raise ModelError(
            Problem(
                "network",
                f"it is {type(encoder).__name__} with {kinds}",
                "a text encoder with a linear head for each task",
            )
        )
    labels = {
        name: list(head.labels or (f"LABEL_{place}" for place in range(head.outputs)))
        for name, head in linear.items()
    }
    tasks = [
        {
            "name": name,
            "labels": labels[name],
            "problem_type": head.problem_type,
            "dropout": head.dropout.p,
        }
        for name, head in linear.items()
    ]
    first = labels[next(iter(labels))]
    fusion = network.fusion
    config = TransfuseTasksConfig(
        tasks=tasks,
        fusion=spec_of(FUSIONS, fusion.options) if isinstance(fusion, TaskVectors) else None,
        id2label=dict(enumerate(first)),
        label2id={label: place for place, label in enumerate(first)},
        problem_type=tasks[0]["problem_type"],
        **options,
    )
    with torch.device("meta"):
        model = TransfuseForTasks(config)
    check_names(encoder.backbone, model.backbone)
    model.backbone = encoder.backbone
    if isinstance(fusion, TaskVectors):
        model.fusion = fusion
    for name, head in linear.items():
        model.classifiers[name] = head.classifier
    return model


def tasks_network(source: Source, column: str, max_length: int) -> Network:
    """A network from a folder with several heads, with the weights that it has there.

    Args:
        source: The opened folder, of a `TransfuseForTasks`.
        column: The text column's name.
        max_length: Longest text in tokens.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the weights cannot be read, or lack those of a head or of the fusion.
    """
    model, fresh = pretrained(TransfuseForTasks, source)
    lost = sorted(name for name in fresh if name.startswith(("classifiers.", "fusion.")))
    if lost:
        raise ModelError(
            Problem(
                str(source.folder),
                f"the weights lack {len(lost)} parameters of heads or fusion, first {lost[0]!r}",
                "weights that belong to config.json",
            )
        )
    encoder = TextEncoder(
        model.backbone,
        source.tokenizer,
        model.backbone_config,
        pooling=source.pooling("auto"),  # type: ignore[arg-type]
        max_length=max_length,
    )
    heads = {}
    for task in source.config.tasks:
        layer = model.classifiers[task["name"]]
        head = LinearHead(
            layer.in_features,
            layer.out_features,
            task["dropout"],
            labels=task["labels"],
            problem_type=task["problem_type"],
        )
        head.classifier = layer
        heads[task["name"]] = head
    return Network({column: encoder}, heads, model.fusion).eval()


def check_names(ours: nn.Module, plain: nn.Module) -> None:
    """Refuse parameters that the plain architecture does not know.

    Args:
        ours: A module that is to be saved.
        plain: The same architecture, as transformers builds it.

    Raises:
        ModelError: With the first name that is not in both.
    """
    odd = sorted(set(ours.state_dict()) ^ set(plain.state_dict()))
    if odd:
        raise ModelError(
            Problem(
                type(ours).__name__,
                f"its parameters are not those of the plain architecture, first {odd[0]!r}",
                fix="Merge adapters into the weights before saving.",
            )
        )
