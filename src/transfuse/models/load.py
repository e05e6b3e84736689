"""Opens pretrained models: as an encoder, or as a classifier with a fresh head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from transformers import AutoModel

from transfuse._hub_config import StaticConfig, TransfuseConfig, TransfuseTasksConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.backbone import encoder_part, pooler_options
from transfuse.models.folder import linear_network
from transfuse.models.heads import LinearHead, ProblemType, label_names
from transfuse.models.hub import TransfuseForSequenceClassification
from transfuse.models.hub_tasks import TransfuseForTasks
from transfuse.models.native import has_native_head, native_network
from transfuse.models.network import Network
from transfuse.models.pooling import Pooling, check_pooling
from transfuse.models.source import Attention, Source, open_source, pretrained
from transfuse.models.static_folder import static_network
from transfuse.models.text import TextEncoder

__all__ = ["load_classifier", "load_encoder"]


def load_encoder(
    name: str | Path,
    *,
    pooling: Pooling | Literal["auto"] = "auto",
    max_length: int = 128,
    attention: Attention = "auto",
    dtype: torch.dtype = torch.float32,
    allow_pickle: bool = False,
) -> TextEncoder:
    """Opens a pretrained text encoder.

    Args:
        name: A folder, an installed package that carries a model, or a hub id.
        pooling: `mean`, `cls`, `last`, `native` (the architecture's own) or `auto`: what a
            sentence-transformers folder asks for, else native; for an encoder-decoder, mean.
            Default `auto`.
        max_length: Longest text in tokens, lowered to what the model can read. Default 128.
        attention: How attention is computed. Default `auto`: transformers' choice.
        dtype: Number type of the weights. Default float32.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or used as a text encoder.
    """
    check_pooling(pooling, ("auto",))
    source = open_source(name, attention=attention, dtype=dtype, allow_pickle=allow_pickle)
    return _encoder(source, cast(Pooling, source.pooling(pooling)), max_length).eval()


def load_classifier(
    name: str | Path,
    labels: Sequence[str],
    *,
    task: str = "label",
    problem_type: ProblemType = "single_label_classification",
    pooling: Pooling | Literal["auto"] = "auto",
    max_length: int = 128,
    dropout: float = 0.1,
    seed: int = 0,
    attention: Attention = "auto",
    allow_pickle: bool = False,
) -> Network:
    """Opens a pretrained model with a classification head.

    With native pooling the head is the architecture's own, else it is linear. A head that the
    folder holds is kept as it was trained where its labels are these in this order; every other
    head is fresh.

    Args:
        name: A folder, an installed package that carries a model, or a hub id.
        labels: Name of each output; for a regression, of the one value.
        task: The head's name in the network. Default `label`.
        problem_type: `single_label_classification`, `multi_label_classification` or
            `regression`. Default the first.
        pooling: As for `load_encoder`; `auto` prefers the architecture's own head wherever the
            folder does not ask for another pooling.
        max_length: Longest text in tokens. Default 128.
        dropout: Dropout before a linear head; native heads have their own. Default 0.1.
        seed: Seed of a fresh head. Default 0.
        attention: How attention is computed. Default `auto`: transformers' choice.
        allow_pickle: As for `load_encoder`. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read or used, or there are no labels.
    """
    if not labels:
        raise ModelError(Problem("labels", "there are none", "the name of each output"))
    check_pooling(pooling, ("auto",))
    source = open_source(name, attention=attention, allow_pickle=allow_pickle)
    if isinstance(source.config, StaticConfig):
        return static_network(
            source,
            labels,
            task=task,
            problem_type=problem_type,
            max_length=max_length,
            dropout=dropout,
            seed=seed,
        )
    chosen = cast(Pooling, source.pooling(pooling))
    if chosen == "native" and has_native_head(source.config):
        return native_network(
            source,
            tuple(labels),
            task=task,
            problem_type=problem_type,
            max_length=max_length,
            seed=seed,
        )
    several = isinstance(source.config, TransfuseTasksConfig)
    if pooling == "auto" and isinstance(source.config, TransfuseConfig) and not several:
        stored = label_names(source.config)
        if stored == tuple(labels) and source.config.problem_type == problem_type:
            return linear_network(source, task, "text", max_length)
    encoder = _encoder(source, chosen, max_length)
    head = LinearHead(
        encoder.dim, len(labels), dropout, seed, labels=labels, problem_type=problem_type
    )
    return Network.for_text(encoder, {task: head}).eval()


def _encoder(source: Source, pooling: Pooling, max_length: int) -> TextEncoder:
    config = source.config
    if isinstance(config, StaticConfig):
        raise ModelError(
            Problem(
                str(source.top),
                "holds a static student, which is no transformer",
                fix="Open it with load_network or load_classifier.",
            )
        )
    if isinstance(config, TransfuseConfig):
        several = isinstance(config, TransfuseTasksConfig)
        kind = TransfuseForTasks if several else TransfuseForSequenceClassification
        model, _ = pretrained(kind, source)
        backbone, config = model.backbone, model.backbone_config
    else:
        pooler = pooling == "native"
        model, fresh = pretrained(AutoModel, source, **pooler_options(config, pooler))
        if pooler and any(key.startswith("pooler.") for key in fresh):
            # The folder has none; with random weights it would be worse than the first token.
            model, _ = pretrained(AutoModel, source, **pooler_options(config, False))
        config = model.config
        backbone = encoder_part(model, config)
    return TextEncoder(backbone, source.tokenizer, config, pooling=pooling, max_length=max_length)
