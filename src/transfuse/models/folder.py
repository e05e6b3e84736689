"""Networks to folders and back.

A network with the architecture's own head becomes a folder that plain transformers opens; one
with a linear head, a static encoder, or the heads of several tasks, becomes a folder that it
opens after `import transfuse`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from transfuse._hub_config import StaticConfig, TransfuseConfig, TransfuseTasksConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.audio import (
    AudioEncoder,
    SoundEncoder,
    is_audio_model,
    load_audio_network,
    save_audio_network,
)
from transfuse.models.find import fetch_model
from transfuse.models.heads import LinearHead, NativeHead, label_names
from transfuse.models.hub import TransfuseForSequenceClassification
from transfuse.models.images.efficientnet_lite import is_lite
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.folder import load_image_network, save_image_network
from transfuse.models.images.loading import is_image_model
from transfuse.models.joined.encoder import JoinedEncoder
from transfuse.models.joined.folder import is_joined, load_joined, save_joined
from transfuse.models.native import has_native_head, native_network
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.scenes.folder import (
    is_scenes,
    is_scenes_folder,
    load_scenes,
    save_scenes,
)
from transfuse.models.several import is_several, load_several, save_several
from transfuse.models.source import Attention, Source, open_source, pretrained
from transfuse.models.static import StaticEncoder
from transfuse.models.static_folder import static_model, static_network
from transfuse.models.task_folder import check_names, has_tasks, tasks_model, tasks_network
from transfuse.models.text import TextEncoder

__all__ = ["linear_network", "load_network", "save_network"]

_NOTE = "transfuse"


def save_network(network: Network, folder: str | Path) -> None:
    """Writes a network's weights (safetensors), config.json and tokenizer into a folder.

    The caller sees to it that the folder appears under its final name only when it is whole.

    Args:
        network: One encoder and one head, or a linear head for each of several tasks.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If the network has another shape, or has parameters that its architecture does
            not know (adapters that were not merged).
    """
    folder = Path(folder)
    only = network.encoder if len(network.encoders) == 1 else None
    if is_several(network):
        save_several(network, folder)
    elif is_scenes(network):
        save_scenes(network, folder)
    elif isinstance(only, JoinedEncoder):
        save_joined(network, folder)
    elif isinstance(only, AudioEncoder | SoundEncoder):
        save_audio_network(network, folder)
    elif isinstance(only, ImageEncoder):
        save_image_network(network, folder)
    elif isinstance(only, StaticEncoder):
        _save_static(network, only, folder)
    elif has_tasks(network):
        _save_tasks(network, folder)
    else:
        _save_text(network, folder)


def _save_text(network: Network, folder: Path) -> None:
    encoder, task, head = _parts(network)
    (column,) = network.encoders
    note = {"task": task, "column": column, "max_length": encoder.max_length}
    with quiet_loading():
        if isinstance(head, NativeHead):
            with head.whole(encoder.backbone) as model:
                setattr(model.config, _NOTE, note)
                with torch.device("meta"):
                    plain = AutoModelForSequenceClassification.from_config(model.config)
                check_names(model, plain)
                model.config.name_or_path = ""  # no paths of this machine
                model.save_pretrained(folder)
        else:
            model = _wrapped(encoder, head)
            setattr(model.config, _NOTE, note)
            model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)


def load_network(
    folder: str | Path, *, attention: Attention = "auto", allow_pickle: bool = False
) -> Network:
    """Opens a folder that `save_network` wrote, or any classifier that transformers wrote.

    Args:
        folder: The folder; a package or hub id will do as well.
        attention: How attention is computed. Default `auto`: transformers' choice.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The network with its labels, in evaluation mode.

    Raises:
        ModelError: If there is no classifier in the folder, or it cannot be read.
    """
    if is_lite(folder):
        return load_image_network(folder, allow_pickle=allow_pickle)
    found = fetch_model(folder)
    if is_several(found):
        return load_several(found, allow_pickle=allow_pickle)
    if is_joined(found):
        return load_joined(found, attention=attention, allow_pickle=allow_pickle)
    if is_scenes_folder(found):
        return load_scenes(found, allow_pickle=allow_pickle)
    if is_audio_model(found):
        return load_audio_network(found, allow_pickle=allow_pickle)
    if is_image_model(found):
        return load_image_network(found, allow_pickle=allow_pickle)
    source = open_source(found, attention=attention, allow_pickle=allow_pickle)
    note: dict[str, Any] = {"task": "label", "column": "text", "max_length": 128}
    note |= getattr(source.config, _NOTE, None) or {}
    if isinstance(source.config, StaticConfig):
        return static_network(
            source, task=note["task"], column=note["column"], max_length=note["max_length"]
        )
    if isinstance(source.config, TransfuseTasksConfig):
        return tasks_network(source, note["column"], note["max_length"])
    if isinstance(source.config, TransfuseConfig):
        return linear_network(source, note["task"], note["column"], note["max_length"])
    if not has_native_head(source.config):
        raise ModelError(
            Problem(str(folder), f"{type(source.config).__name__} has no classification head")
        )
    return native_network(
        source, task=note["task"], column=note["column"], max_length=note["max_length"]
    )


def linear_network(source: Source, task: str, column: str, max_length: int) -> Network:
    """A network from a folder with a linear head, with the weights that the head has there.

    Args:
        source: The opened folder, of a `TransfuseForSequenceClassification`.
        task: The head's name.
        column: The text column's name.
        max_length: Longest text in tokens.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the weights cannot be read.
    """
    config = source.config
    model, _ = pretrained(TransfuseForSequenceClassification, source)
    encoder = TextEncoder(
        model.backbone,
        source.tokenizer,
        model.backbone_config,
        pooling=source.pooling("auto"),  # type: ignore[arg-type]
        max_length=max_length,
    )
    head = LinearHead(
        encoder.dim,
        config.num_labels,
        config.classifier_dropout,
        labels=label_names(config),
        problem_type=config.problem_type,
    )
    head.classifier = model.classifier
    return Network.for_text(encoder, {task: head}, column).eval()


def _save_static(network: Network, encoder: StaticEncoder, folder: Path) -> None:
    (column,) = network.encoders
    model = static_model(encoder, network)
    (task,) = network.heads
    note = {"task": task, "column": column, "max_length": encoder.max_length}
    setattr(model.config, _NOTE, note)
    with quiet_loading():
        model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)


def _save_tasks(network: Network, folder: Path) -> None:
    if len(network.encoders) != 1 or not isinstance(network.encoder, TextEncoder):
        raise ModelError(
            Problem(
                "network", f"it encodes {', '.join(network.encoders)}", "one column, which is text"
            )
        )
    (column,), encoder = network.encoders, network.encoder
    with quiet_loading():
        model = tasks_model(network, _encoder_options(encoder))
        note = {"column": column, "max_length": encoder.max_length}
        setattr(model.config, _NOTE, note)
        model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)


def _encoder_options(encoder: TextEncoder) -> dict[str, Any]:
    """What a config says of the encoder."""
    return {
        "backbone_config": {
            name: value
            for name, value in encoder.config.to_dict().items()
            if name not in ("_name_or_path", "architectures", "transformers_version")
        },
        "pooling": encoder.pooling_used,
        "has_pooler": encoder.anatomy.has_pooler,
        "pad_token_id": encoder.config.pad_token_id,
    }


def _wrapped(encoder: TextEncoder, head: LinearHead) -> TransfuseForSequenceClassification:
    """The network as one transformers model, sharing the network's parameters."""
    labels = head.labels or tuple(f"LABEL_{place}" for place in range(head.outputs))
    config = TransfuseConfig(
        classifier_dropout=head.dropout.p,
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        problem_type=head.problem_type,
        **_encoder_options(encoder),
    )
    with torch.device("meta"):
        model = TransfuseForSequenceClassification(config)
    check_names(encoder.backbone, model.backbone)
    model.backbone, model.classifier = encoder.backbone, head.classifier
    return model


def _parts(network: Network) -> tuple[TextEncoder, str, LinearHead | NativeHead]:
    heads: list[tuple[str, nn.Module]] = list(network.heads.items())
    if len(network.encoders) != 1 or len(heads) != 1:
        raise ModelError(
            Problem(
                "network",
                f"it has {len(network.encoders)} encoders and {len(heads)} heads",
                "one of each, to be a folder that transformers opens",
            )
        )
    encoder, (task, head) = network.encoder, heads[0]
    if not isinstance(encoder, TextEncoder) or not isinstance(head, LinearHead | NativeHead):
        raise ModelError(
            Problem(
                "network",
                f"it is {type(encoder).__name__} with {type(head).__name__}",
                "a text encoder with a linear or a native head",
            )
        )
    return encoder, task, head
