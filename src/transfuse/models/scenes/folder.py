"""Networks for places in pictures to folders and back."""

import json
from pathlib import Path
from typing import Any

import torch

from transfuse._hub_scenes import SCENES_MODEL_TYPE, TransfuseScenesConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.processing import Processing, read_settings
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.scenes.base import PlacesHead
from transfuse.models.scenes.hub import HEADS, TransfuseForScenes
from transfuse.models.scenes.native import NativePlacesHead, native_scenes
from transfuse.models.scenes.pyramid import Pyramid
from transfuse.models.source import Source, pretrained
from transfuse.models.task_folder import check_names

__all__ = ["is_scenes", "is_scenes_folder", "load_scenes", "save_scenes"]

_NOTE = "transfuse"
_ASIDE = ("_name_or_path", "architectures", "transformers_version")


def is_scenes(network: Network) -> bool:
    """Whether a network is an encoder with one head for places.

    Args:
        network: The network.
    """
    heads = list(network.heads.values())
    return len(heads) == 1 and isinstance(heads[0], PlacesHead | NativePlacesHead)


def save_scenes(network: Network, folder: Path) -> None:
    """Writes weights, config and `preprocessor_config.json` into a folder.

    Args:
        network: A `Pyramid` over an image encoder, and one head.
        folder: Where to write.

    Raises:
        ModelError: If the network has another shape, or has parameters that its architecture does
            not know (adapters that were not merged).
    """
    encoder, ((task, head),) = network.encoder, network.heads.items()
    inner = encoder.inner if isinstance(encoder, Pyramid) else encoder
    if isinstance(inner, ImageEncoder) and isinstance(head, NativePlacesHead):
        _save_native(network, inner, head, task, folder)
        return
    if not isinstance(inner, ImageEncoder) or not isinstance(head, PlacesHead):
        what = f"it is {type(inner).__name__} with {type(head).__name__}"
        raise ModelError(Problem("network", what, "an image encoder with a head for places"))
    (column,) = network.encoders
    kind = next(name for name, each in HEADS.items() if isinstance(head, each))
    labels = dict(enumerate(head.labels or ()))
    fields = inner.config.to_dict().items()
    config = TransfuseScenesConfig(
        backbone_config={name: value for name, value in fields if name not in _ASIDE},
        has_pooler=getattr(inner.backbone, "pooler", None) is not None,
        levels=[[level.channels, level.factor, level.layer] for level in head.levels],
        head={kind: head.options},
        batch_norm=inner.batch_norm,
        id2label=labels,
        label2id={name: place for place, name in labels.items()},
        transfuse={"task": task, "column": column},
    )
    with quiet_loading():
        with torch.device("meta"):
            model = TransfuseForScenes(config)
        check_names(inner.backbone, model.backbone)
        model.backbone, model.head = inner.backbone, head
        model.save_pretrained(folder)
    _write_settings(inner, folder)


def _save_native(
    network: Network, encoder: ImageEncoder, head: NativePlacesHead, task: str, folder: Path
) -> None:
    (column,) = network.encoders
    head.model.config.transfuse = {
        "scenes": head.kind,
        "task": task,
        "column": column,
        "grid": head.grid,
        "size": encoder.size,
        "batch_norm": encoder.batch_norm,
    }
    head.model.config.name_or_path = ""  # no paths of this machine
    head.save(encoder.backbone, folder)
    _write_settings(encoder, folder)


def _write_settings(encoder: ImageEncoder, folder: Path) -> None:
    text = json.dumps(dict(encoder.processing.settings), indent=2, default=str)
    (folder / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")


def is_scenes_folder(folder: Path) -> bool:
    """Whether a folder is one that `save_scenes` wrote.

    Args:
        folder: The folder.
    """
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(told, dict):
        return False
    native = isinstance(told.get(_NOTE), dict) and "scenes" in told[_NOTE]
    return native or told.get("model_type") == SCENES_MODEL_TYPE


def load_scenes(folder: Path, *, allow_pickle: bool = False) -> Network:
    """Opens a folder that `save_scenes` wrote.

    Args:
        folder: The folder.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If it cannot be read.
    """
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if told.get("model_type") != SCENES_MODEL_TYPE:
        note = dict(told[_NOTE])
        kind = note.pop("scenes")
        network = native_scenes(folder, kind, allow_pickle=allow_pickle, **note)
        assert network is not None, "the note is written beside such a head alone"
        return network
    config: Any = TransfuseScenesConfig.from_pretrained(folder)
    options = {
        "dtype": torch.float32,
        "use_safetensors": not allow_pickle,
        "trust_remote_code": False,
    }
    model, lost = pretrained(TransfuseForScenes, Source(folder, config, None, folder, options))
    settings = read_settings(folder)
    if lost or settings is None:
        what = f"the weights lack {min(lost)!r}" if lost else "no preprocessor_config.json"
        raise ModelError(Problem(str(folder), what, "a folder as Transfuse wrote it"))
    encoder = model.encoder(Processing.read(settings))
    note = config.transfuse
    return Network({note["column"]: encoder}, {note["task"]: model.head}).eval()
