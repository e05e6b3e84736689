"""Opens pretrained vision models: as an encoder, or as a classifier with a head."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
)

from transfuse._hub_images import EfficientNetLiteConfig, TransfuseImageConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.find import fetch_model, weights_in
from transfuse.models.heads import LinearHead, ProblemType, label_names
from transfuse.models.images.batch_norm import BatchNorm
from transfuse.models.images.efficientnet_lite import (
    EfficientNetLiteForImageClassification,
    is_lite,
    lite_processing,
    lite_weights,
)
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.hub import TransfuseForImageClassification
from transfuse.models.images.native import has_image_head, native_parts
from transfuse.models.images.pooling import ImagePooling
from transfuse.models.images.processing import (
    Processing,
    default_settings,
    read_settings,
    resized_settings,
)
from transfuse.models.images.timm import check_timm, is_timm, timm_settings
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.source import Source, pretrained, seeded

__all__ = ["image_classifier", "image_encoder", "is_image_model", "stored_classifier"]

_IMAGENET = 1000
_USUAL = 224


@dataclass(frozen=True)
class _Opened:
    """A vision model in parts.

    Args:
        encoder: Its encoder.
        classifier: The linear layer on the encoder's vector, as it was stored or drawn; None
            where there is none.
        stored: Whether that layer was stored.
        labels: The labels that are stored.
        config: The config of the whole.
    """

    encoder: ImageEncoder
    classifier: nn.Linear | None
    stored: bool
    labels: tuple[str, ...]
    config: Any


def is_image_model(name: str | Path) -> bool:
    """Whether a name is that of a model that reads pictures and nothing else.

    Args:
        name: A folder, an installed package that carries a model, or a hub id; a model on the hub
            is fetched, as opening it would do anyway.

    Raises:
        ModelError: If there is no such model.
    """
    if is_lite(name):
        return True
    said = _said(fetch_model(name))
    if is_timm(said):
        return True
    kind = str(said.get("model_type"))
    if kind not in CONFIG_MAPPING:
        return False
    config = CONFIG_MAPPING[kind]
    if issubclass(config, TransfuseImageConfig | EfficientNetLiteConfig):
        return True
    return getattr(MODEL_MAPPING.get(config, None), "main_input_name", None) == "pixel_values"


def image_encoder(
    name: str | Path,
    *,
    size: int | None = None,
    batch_norm: BatchNorm = "frozen",
    dtype: torch.dtype = torch.float32,
    allow_pickle: bool = False,
) -> ImageEncoder:
    """Opens a pretrained image encoder.

    Args:
        name: A folder, an installed package that carries a model, a hub id, or
            `efficientnet-lite0`.
        size: Side of the pictures in pixels. Default: what the model was trained on.
        batch_norm: What becomes of BatchNorm's statistics in training: `frozen`, `adapted` or
            `recomputed`. Default `frozen`.
        dtype: Number type of the weights. Default float32.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or used as an image encoder.
    """
    opened = _open(name, size, batch_norm, 0, allow_pickle)
    return opened.encoder.to(dtype).eval()


def image_classifier(
    name: str | Path,
    labels: Sequence[str],
    *,
    task: str = "label",
    problem_type: ProblemType = "single_label_classification",
    size: int | None = None,
    dropout: float = 0.1,
    seed: int = 0,
    batch_norm: BatchNorm = "frozen",
    allow_pickle: bool = False,
) -> Network:
    """Opens a pretrained vision model with a linear head.

    A head that the folder holds is kept as it was trained where its labels are these in this
    order; every other head is fresh.

    Args:
        name: As for `image_encoder`.
        labels: Name of each output; for a regression, of the one value.
        task: The head's name in the network. Default `label`.
        problem_type: `single_label_classification`, `multi_label_classification` or
            `regression`. Default the first.
        size: Side of the pictures in pixels. Default: what the model was trained on.
        dropout: Dropout before the head. Default 0.1.
        seed: Seed of a fresh head. Default 0.
        batch_norm: As for `image_encoder`. Default `frozen`.
        allow_pickle: As for `image_encoder`. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read or used, or there are no labels.
    """
    if not labels:
        raise ModelError(Problem("labels", "there are none", "the name of each output"))
    opened = _open(name, size, batch_norm, seed, allow_pickle)
    head = LinearHead(
        opened.encoder.dim, len(labels), dropout, seed, labels=labels, problem_type=problem_type
    )
    same = opened.labels == tuple(labels) and opened.config.problem_type in (None, problem_type)
    if opened.classifier is not None and opened.stored and same:
        head.classifier = opened.classifier
    return Network({"image": opened.encoder}, {task: head}).eval()


def stored_classifier(
    name: str | Path, note: dict[str, Any], *, allow_pickle: bool = False
) -> Network:
    """The network of a folder with the head that is stored there.

    Args:
        name: As for `image_encoder`; `efficientnet-lite0` has ImageNet's 1,000 classes.
        note: What the folder's config says under `transfuse`, with `task`, `column`, `dropout` and
            `batch_norm`.
        allow_pickle: As for `image_encoder`. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If there is no head, or none that is a linear layer on one vector.
    """
    opened = _open(name, None, note["batch_norm"], 0, allow_pickle)
    if opened.classifier is None or not opened.stored:
        raise ModelError(
            Problem(
                str(name),
                "holds no classification head that is a linear layer on one vector",
                fix="Open it with load_classifier, which puts a fresh head there.",
            )
        )
    head = LinearHead(
        opened.encoder.dim,
        opened.classifier.out_features,
        note["dropout"],
        labels=opened.labels,
        problem_type=opened.config.problem_type or "single_label_classification",
    )
    head.classifier = opened.classifier
    return Network({note["column"]: opened.encoder}, {note["task"]: head}).eval()


def _open(
    name: str | Path, size: int | None, batch_norm: BatchNorm, seed: int, allow_pickle: bool
) -> _Opened:
    if is_lite(name):
        config: Any = EfficientNetLiteConfig(num_labels=_IMAGENET)
        with seeded(seed), quiet_loading():
            model: Any = EfficientNetLiteForImageClassification(config)
        model.load_state_dict(lite_weights())
        return _parts(model, config, _sized(lite_processing(), size), batch_norm, True)
    folder = fetch_model(name)
    said = _said(folder)
    if is_timm(said):
        check_timm()
    safe = weights_in(folder, allow_pickle=allow_pickle)
    config = _config(folder)
    options = {"dtype": torch.float32, "use_safetensors": safe, "trust_remote_code": False}
    source = Source(folder, config, None, folder, options)
    settings = timm_settings(said) if is_timm(said) else read_settings(folder)
    if settings is None:
        trained = getattr(config, "image_size", None) or _USUAL
        settings = default_settings(trained if isinstance(trained, int) else trained[0])
    settings = _sized(settings, size)
    if isinstance(config, TransfuseImageConfig):
        model, _ = pretrained(TransfuseForImageClassification, source, seed=seed)
        pooling = cast(ImagePooling, config.pooling)
        encoder = _encoder(model.backbone, model.backbone_config, settings, pooling, batch_norm)
        return _Opened(encoder, model.classifier, True, label_names(config), config)
    if has_image_head(config) and not is_timm(said):
        model, fresh = pretrained(AutoModelForImageClassification, source, seed=seed)
        return _parts(model, config, settings, batch_norm, not fresh)
    model, _ = pretrained(AutoModel, source, seed=seed)
    encoder = _encoder(model, model.config, settings, None, batch_norm)
    return _Opened(encoder, None, False, (), config)


def _parts(
    model: Any, config: Any, settings: dict[str, Any], batch_norm: BatchNorm, stored: bool
) -> _Opened:
    """A classification model taken apart."""
    size = Processing.read(settings).size
    found = native_parts(model, size)
    if found is None:
        backbone = getattr(model, model.base_model_prefix)
        encoder = _encoder(backbone, config, settings, None, batch_norm)
        return _Opened(encoder, None, False, label_names(config), config)
    encoder = _encoder(found.backbone, config, settings, found.pooling, batch_norm)
    classifier = model.get_submodule(found.classifier)
    return _Opened(encoder, classifier, stored, label_names(config), config)


def _encoder(
    backbone: nn.Module,
    config: Any,
    settings: dict[str, Any],
    pooling: ImagePooling | None,
    batch_norm: BatchNorm,
) -> ImageEncoder:
    processing = Processing.read(settings)
    try:
        return ImageEncoder(backbone, config, processing, pooling=pooling, batch_norm=batch_norm)
    except (RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise ModelError(
            Problem(
                type(backbone).__name__,
                f"it cannot read pictures of {processing.size} pixels: {said}",
                "a size that its strides or patches divide",
                "Choose another `size`.",
            )
        ) from error


def _sized(settings: dict[str, Any], size: int | None) -> dict[str, Any]:
    if size is None:
        return settings
    if size < 1:
        raise ModelError(Problem("size", f"got {size}", "the side of a picture in pixels"))
    return resized_settings(settings, size)


def _said(folder: Path) -> dict[str, Any]:
    """What config.json says; nothing where there is none, or no object in it."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _config(folder: Path) -> Any:
    try:
        with quiet_loading():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        problem = Problem(str(folder), f"config.json cannot be read: {said}")
        raise ModelError(problem) from error
