"""Networks whose head is the architecture's own classification head."""

from typing import Any

from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
)

from transfuse._hub_config import StaticConfig, TransfuseConfig
from transfuse.models.heads import Head, NativeHead, ProblemType, label_names
from transfuse.models.network import Network, reads_pooled
from transfuse.models.source import Source, pretrained, seeded
from transfuse.models.text import NativeSource, TextEncoder

__all__ = ["has_native_head", "native_network", "settle"]


def has_native_head(config: Any) -> bool:
    """Whether transformers has a classification head for a model.

    Args:
        config: The model's config.

    Returns:
        True for architectures with a head on the encoder or the decoder alone; an
        encoder-decoder's head needs both and does not count.
    """
    return (
        type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        and not isinstance(config, StaticConfig | TransfuseConfig)
        and not config.is_encoder_decoder
    )


def native_network(
    source: Source,
    labels: tuple[str, ...] | None = None,
    *,
    task: str = "label",
    column: str = "text",
    problem_type: ProblemType | None = None,
    max_length: int = 128,
    seed: int = 0,
) -> Network:
    """A network from a folder, with the architecture's own head.

    Args:
        source: The opened folder.
        labels: Name of each output. The stored head is kept where its labels are these in this
            order; otherwise the head is fresh. Default: the folder's labels, and its head.
        task: The head's name. Default `label`.
        column: The text column's name. Default `text`.
        problem_type: What kind of classification. Default: what the folder says.
        max_length: Longest text in tokens. Default 128.
        seed: Seed of a fresh head. Default 0.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the weights cannot be read.
    """
    config = source.config
    stored = label_names(config)
    wanted = stored if labels is None else labels
    config.id2label = dict(enumerate(wanted))
    config.label2id = {name: place for place, name in config.id2label.items()}
    config.problem_type = problem_type or config.problem_type
    model, fresh = pretrained(
        AutoModelForSequenceClassification, source, seed=seed, ignore_mismatched_sizes=True
    )
    backbone, head = NativeHead.split(model)
    names = set(head.model.state_dict())
    if names - fresh and stored != wanted:
        _refresh(head, source, seed)
    encoder = TextEncoder(
        backbone, source.tokenizer, model.config, pooling="native", max_length=max_length
    )
    settle(encoder, head)
    return Network.for_text(encoder, {task: head}, column).eval()


def _refresh(head: NativeHead, source: Source, seed: int) -> None:
    """Replaces a stored head, all of it, by the one that a new model would have."""
    with seeded(seed):
        model = AutoModelForSequenceClassification.from_config(source.config)
    _, fresh = NativeHead.split(model)
    head.model.load_state_dict(fresh.model.state_dict())


def settle(encoder: TextEncoder, head: Head) -> None:
    """Makes the encoder's pooled vector the one the head reads, found by trying.

    A head that reads more than one vector fits none; `Network.can_resume(depth)` is then False.

    Args:
        encoder: An encoder with native pooling; changed in place.
        head: The head on top of it.
    """
    first: list[NativeSource] = ["pooler"] if encoder.anatomy.has_pooler else []
    usual = encoder.native_source
    for source in [*first, "cls", "last", "mean"]:
        encoder.native_source = source
        if reads_pooled(encoder, head):
            return
    encoder.native_source = usual
