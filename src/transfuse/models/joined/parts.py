"""The encoders of a network of several columns, each a folder of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModel

from transfuse.data.fields import FieldTable
from transfuse.errors import ModelError, Problem
from transfuse.models.audio import (
    AudioEncoder,
    SoundEncoder,
    audio_encoder,
    save_audio_encoder,
)
from transfuse.models.backbone import backbone_from_config, pooler_options
from transfuse.models.encoder import Encoder
from transfuse.models.fields import FieldEncoder
from transfuse.models.find import weights_in
from transfuse.models.images import ImageEncoder, Processing
from transfuse.models.images.processing import PROCESSOR_FILE, read_settings, written_settings
from transfuse.models.pooling import Pooling
from transfuse.models.quiet import quiet_loading
from transfuse.models.source import Attention, Source, open_source, pretrained
from transfuse.models.task_folder import check_names
from transfuse.models.text import TextEncoder

__all__ = ["load_part", "save_part"]

_FIELDS = "fields.json"


def save_part(encoder: Encoder, folder: Path) -> dict[str, Any]:
    """Writes an encoder into a folder.

    Args:
        encoder: The encoder of one column.
        folder: Where to write; created if need be.

    Returns:
        What `load_part` has to know beside it, as plain values.

    Raises:
        ModelError: If there is no such folder for the encoder, or it has parameters that its
            architecture does not know (adapters that were not merged).
    """
    folder.mkdir(parents=True, exist_ok=True)
    match encoder:
        case FieldEncoder():
            text = json.dumps(encoder.table.to_dict(), indent=2, ensure_ascii=False)
            (folder / _FIELDS).write_text(text, encoding="utf-8")
            return {}
        case TextEncoder():
            return _save_text(encoder, folder)
        case ImageEncoder():
            return _save_image(encoder, folder)
        case AudioEncoder():
            save_audio_encoder(encoder, folder)
            return {"batch_norm": encoder.image.batch_norm}
        case SoundEncoder():
            save_audio_encoder(encoder, folder)
            return {}
        case _:
            raise ModelError(
                Problem("network", f"there is no folder for a {type(encoder).__name__} in columns")
            )


def load_part(
    name: str,
    folder: Path,
    told: Mapping[str, Any],
    *,
    attention: Attention = "auto",
    allow_pickle: bool = False,
) -> Encoder:
    """Opens what `save_part` wrote.

    Args:
        name: The column.
        folder: The folder.
        told: What `save_part` gave.
        attention: How attention is computed. Default `auto`: transformers' choice.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ModelError: If it cannot be read.
    """
    match name:
        case "fields":
            return _load_fields(folder)
        case "text":
            source = open_source(folder, attention=attention, allow_pickle=allow_pickle)
            return _load_text(source, told["pooling"], told["max_length"])
        case "image":
            return _load_image(folder, told, allow_pickle=allow_pickle)
        case "audio":
            batch_norm = told.get("batch_norm", "frozen")
            return audio_encoder(folder, batch_norm=batch_norm, allow_pickle=allow_pickle)
        case _:
            raise ModelError(Problem(str(folder), f"there is no encoder of {name} in columns"))


def _save_text(encoder: TextEncoder, folder: Path) -> dict[str, Any]:
    backbone = cast(Any, encoder.backbone)
    with quiet_loading(), torch.device("meta"):
        plain = backbone_from_config(encoder.config, pooler=encoder.anatomy.has_pooler)
    check_names(backbone, plain)
    with quiet_loading():
        backbone.config.name_or_path = ""  # no paths of this machine
        backbone.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
    used = encoder.pooling_used
    return {
        "pooling": "native" if used == "pooler" else used,
        "max_length": encoder.max_length,
    }


def _load_text(source: Source, pooling: Pooling, max_length: int) -> TextEncoder:
    options = pooler_options(source.config, pooling == "native")
    model, _ = pretrained(AutoModel, source, **options)
    return TextEncoder(
        model, source.tokenizer, model.config, pooling=pooling, max_length=max_length
    ).eval()


def _save_image(encoder: ImageEncoder, folder: Path) -> dict[str, Any]:
    backbone = cast(Any, encoder.backbone)
    pooler = getattr(backbone, "pooler", None) is not None
    with quiet_loading(), torch.device("meta"):
        plain = backbone_from_config(encoder.config, pooler=pooler)
    check_names(backbone, plain)
    with quiet_loading():
        backbone.config.name_or_path = ""  # no paths of this machine
        backbone.save_pretrained(folder)
    settings = written_settings(encoder.processing)
    text = json.dumps(settings, indent=2, sort_keys=True)
    (folder / PROCESSOR_FILE).write_text(text, encoding="utf-8")
    return {"pooling": encoder.pooling, "batch_norm": encoder.batch_norm, "pooler": pooler}


def _load_image(folder: Path, told: Mapping[str, Any], *, allow_pickle: bool) -> ImageEncoder:
    safe = weights_in(folder, allow_pickle=allow_pickle)
    config = _config(folder)
    settings = read_settings(folder)
    if settings is None:
        raise ModelError(Problem(str(folder), f"there is no {PROCESSOR_FILE} beside the model"))
    options = {"dtype": torch.float32, "use_safetensors": safe, "trust_remote_code": False}
    source = Source(folder, config, None, folder, options)
    model, _ = pretrained(AutoModel, source, **pooler_options(config, told["pooler"]))
    return ImageEncoder(
        model,
        model.config,
        Processing.read(settings),
        pooling=told["pooling"],
        batch_norm=told["batch_norm"],
    ).eval()


def _config(folder: Path) -> Any:
    try:
        with quiet_loading():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(Problem(str(folder), f"config.json cannot be read: {said}")) from error


def _load_fields(folder: Path) -> FieldEncoder:
    path = folder / _FIELDS
    try:
        table = FieldTable.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(Problem(str(path), f"cannot be read: {error}")) from error
    return FieldEncoder(table)
