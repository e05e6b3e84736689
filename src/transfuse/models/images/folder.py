"""Networks of an image encoder to folders and back.

Where the architecture's own classification model is a linear layer on the vector that the encoder
pools, the folder holds that model, and plain transformers opens it. Every other folder holds
Transfuse's class, which it opens after `import transfuse`. `preprocessor_config.json` is written
for `AutoImageProcessor`.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageClassification

from transfuse._hub_images import TransfuseImageConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.find import fetch_model
from transfuse.models.heads import LinearHead
from transfuse.models.images.efficientnet_lite import is_lite
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.hub import TransfuseForImageClassification
from transfuse.models.images.loading import stored_classifier
from transfuse.models.images.native import has_image_head, native_parts
from transfuse.models.images.portable import write_processing
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.task_folder import check_names

__all__ = ["load_image_network", "save_image_network"]

_NOTE = "transfuse"
_NOT_KEPT = ("_name_or_path", "architectures", "transformers_version", _NOTE)


def save_image_network(network: Network, folder: str | Path) -> None:
    """Writes weights (safetensors), config.json and preprocessor_config.json into a folder.

    The caller sees to it that the folder appears under its final name only when it is whole.

    Args:
        network: One image encoder and one linear head.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If the network has another shape, or has parameters that its architecture does
            not know (adapters that were not merged).
    """
    folder = Path(folder)
    encoder, task, head = _parts(network)
    (column,) = network.encoders
    note = {
        "task": task,
        "column": column,
        "dropout": head.dropout.p,
        "batch_norm": encoder.batch_norm,
    }
    with quiet_loading():
        model = _native(encoder, head) or _wrapped(encoder, head)
        setattr(model.config, _NOTE, note)
        model.config.name_or_path = ""  # no paths of this machine
        model.save_pretrained(folder)
    write_processing(encoder.processing, folder)


def load_image_network(folder: str | Path, *, allow_pickle: bool = False) -> Network:
    """Opens a folder that `save_image_network` wrote, or an image classifier of transformers.

    Args:
        folder: The folder; a package, a hub id or `efficientnet-lite0` will do as well.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The network with its labels, in evaluation mode.

    Raises:
        ModelError: If there is no classifier in the folder, or it cannot be read.
    """
    note: dict[str, Any] = {
        "task": "label",
        "column": "image",
        "dropout": 0.0,
        "batch_norm": "frozen",
    }
    if is_lite(folder):
        return stored_classifier(folder, note, allow_pickle=allow_pickle)
    found = fetch_model(folder)
    said = json.loads((found / "config.json").read_text(encoding="utf-8")).get(_NOTE)
    return stored_classifier(found, note | (said or {}), allow_pickle=allow_pickle)


def _native(encoder: ImageEncoder, head: LinearHead) -> Any:
    """The architecture's own model around the network's parameters; None where it has none.

    Whether its head is the network's is found by trying.
    """
    if not has_image_head(encoder.config) or encoder.anatomy.options:
        return None
    config = copy.deepcopy(encoder.config)
    _name_outputs(config, head)
    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(config)
        plain = AutoModelForImageClassification.from_config(config)
    owner = model.base_model_prefix
    if not isinstance(getattr(model, owner, None), nn.Module):
        return None
    linear = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and not name.startswith(f"{owner}.")
    ]
    if len(linear) != 1 or model.get_submodule(linear[0]).in_features != encoder.dim:
        return None
    setattr(model, owner, encoder.backbone)
    parent, _, last = linear[0].rpartition(".")
    setattr(model.get_submodule(parent), last, head.classifier)
    if set(model.state_dict()) != set(plain.state_dict()):
        # Its own class is refused the same way, with the reason.
        return None
    found = native_parts(model, encoder.size)
    return model if found is not None and found.pooling == encoder.pooling else None


def _wrapped(encoder: ImageEncoder, head: LinearHead) -> TransfuseForImageClassification:
    """The network as Transfuse's model, sharing the network's parameters."""
    config = TransfuseImageConfig(
        backbone_config={
            name: value for name, value in encoder.config.to_dict().items() if name not in _NOT_KEPT
        },
        pooling=encoder.pooling,
        classifier_dropout=head.dropout.p,
        hidden_size=encoder.dim,
        interpolate=bool(encoder.anatomy.options),
    )
    _name_outputs(config, head)
    with torch.device("meta"):
        model = TransfuseForImageClassification(config)
    check_names(encoder.backbone, model.backbone)
    model.backbone, model.classifier = encoder.backbone, head.classifier
    return model


def _name_outputs(config: Any, head: LinearHead) -> None:
    labels = head.labels or tuple(f"LABEL_{place}" for place in range(head.outputs))
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    config.problem_type = head.problem_type


def _parts(network: Network) -> tuple[ImageEncoder, str, LinearHead]:
    heads: list[tuple[str, nn.Module]] = list(network.heads.items())
    if len(network.encoders) == 1 and len(heads) == 1:
        encoder, (task, head) = network.encoder, heads[0]
        if isinstance(encoder, ImageEncoder) and isinstance(head, LinearHead):
            return encoder, task, head
    kinds = [type(part).__name__ for part in (*network.encoders.values(), *network.heads.values())]
    raise ModelError(
        Problem(
            "network", f"it is {' with '.join(kinds)}", "one image encoder with one linear head"
        )
    )
