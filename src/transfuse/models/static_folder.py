"""Networks with a static encoder as transformers models, and back."""

from collections.abc import Sequence

import torch

from transfuse._hub_config import StaticConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.heads import LinearHead, ProblemType, label_names
from transfuse.models.hub_static import StaticForSequenceClassification
from transfuse.models.network import Network
from transfuse.models.source import Source, pretrained
from transfuse.models.static import StaticEncoder
from transfuse.models.tokens import padding_id

__all__ = ["static_model", "static_network"]


def static_model(encoder: StaticEncoder, network: Network) -> StaticForSequenceClassification:
    """A network as one transformers model, sharing the network's parameters.

    Args:
        encoder: The network's encoder.
        network: That encoder and one linear head.

    Raises:
        ModelError: If the network has another shape.
    """
    head = next(iter(network.heads.values()))
    if len(network.heads) != 1 or not isinstance(head, LinearHead):
        raise ModelError(
            Problem(
                "network",
                f"it has {len(network.heads)} heads on a static encoder",
                "one linear head, to be a folder that transformers opens",
            )
        )
    labels = head.labels or tuple(f"LABEL_{place}" for place in range(head.outputs))
    weight = encoder.backbone.embedding.weight
    config = StaticConfig(
        vocab_size=len(weight),
        hidden_size=encoder.dim,
        classifier_dropout=head.dropout.p,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        problem_type=head.problem_type,
        pad_token_id=padding_id(encoder.tokenizer),
    )
    with torch.device("meta"):
        model = StaticForSequenceClassification(config)
    model.backbone, model.classifier = encoder.backbone, head.classifier
    return model


def static_network(
    source: Source,
    labels: Sequence[str] | None = None,
    *,
    task: str = "label",
    column: str = "text",
    problem_type: ProblemType | None = None,
    max_length: int = 128,
    dropout: float | None = None,
    seed: int = 0,
) -> Network:
    """A network from a folder with a static encoder.

    Args:
        source: The opened folder, of a `StaticForSequenceClassification`.
        labels: Name of each output. The stored head is kept where its labels are these in this
            order; otherwise the head is fresh. Default: the folder's labels, and its head.
        task: The head's name. Default `label`.
        column: The text column's name. Default `text`.
        problem_type: What kind of classification. Default: what the folder says.
        max_length: Longest text in tokens. Default 128.
        dropout: Dropout before a fresh head. Default: the folder's.
        seed: Seed of a fresh head. Default 0.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the weights cannot be read.
    """
    config = source.config
    model, _ = pretrained(StaticForSequenceClassification, source)
    encoder = StaticEncoder(model.backbone, source.tokenizer, max_length=max_length)
    stored = label_names(config)
    wanted = stored if labels is None else tuple(labels)
    kind = config.problem_type if problem_type is None else problem_type
    kept = wanted == stored and kind == config.problem_type
    head = LinearHead(
        encoder.dim,
        len(wanted),
        config.classifier_dropout if kept or dropout is None else dropout,
        seed,
        labels=wanted,
        problem_type=kind,
    )
    if kept:
        head.classifier = model.classifier
    return Network.for_text(encoder, {task: head}, column).eval()
