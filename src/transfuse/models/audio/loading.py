"""Opens models for sounds: image models behind a spectrogram, or models of sound themselves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, AutoModel

from transfuse.errors import ModelError, Problem
from transfuse.models.audio.backbone import SoundEncoder
from transfuse.models.audio.encoder import AudioEncoder
from transfuse.models.audio.mel import Spectrogram
from transfuse.models.audio.native import has_sound_head, open_sound, sound_network
from transfuse.models.audio.rows import Short
from transfuse.models.find import fetch_model
from transfuse.models.heads import ProblemType
from transfuse.models.images import BatchNorm, image_classifier, image_encoder, is_image_model
from transfuse.models.images.efficientnet_lite import is_lite
from transfuse.models.network import Network
from transfuse.models.source import pretrained

__all__ = ["audio_classifier", "audio_encoder", "heard_by", "is_audio_model"]


def is_audio_model(name: str | Path) -> bool:
    """Whether a name is that of a model that reads sounds.

    Args:
        name: A folder, an installed package that carries a model, or a hub id; a model on the hub
            is fetched, as opening it would do anyway.

    Returns:
        True for a model of sound, and for a folder of an image model that was trained on sounds.

    Raises:
        ModelError: If there is no such model.
    """
    if is_lite(name):
        return False
    folder = fetch_model(name)
    kind = str(_config(folder).get("model_type"))
    hears = kind in CONFIG_MAPPING and has_sound_head(CONFIG_MAPPING[kind])
    return hears or bool(heard_by(folder))


def heard_by(folder: Path) -> dict[str, Any]:
    """How the model of a folder hears.

    Args:
        folder: A model folder.

    Returns:
        What its config says under `transfuse`, with the settings under `audio`; an empty dict
        where it was never trained on sounds.
    """
    note: dict[str, Any] = _config(folder).get("transfuse") or {}
    return note if "audio" in note else {}


def audio_encoder(
    name: str | Path,
    *,
    spectrogram: Spectrogram | None = None,
    size: int | None = None,
    batch_norm: BatchNorm = "frozen",
    allow_pickle: bool = False,
) -> AudioEncoder | SoundEncoder:
    """Opens a pretrained model as an encoder of sounds.

    Args:
        name: A folder, an installed package that carries a model, a hub id, or
            `efficientnet-lite0`: of an image model, which gets spectrograms for pictures, or of a
            model of sound with its feature extractor.
        spectrogram: How a sound becomes a picture; a model of sound takes `seconds` and `short` of
            it. Default: what the folder was trained with, else `Spectrogram()`.
        size: Side of an image model's pictures in pixels. Default: its own.
        batch_norm: What becomes of an image model's BatchNorm statistics in training: `frozen`,
            `adapted` or `recomputed`. Default `frozen`.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found or read, or reads neither pictures nor sounds.
    """
    if is_image_model(name):
        image = image_encoder(name, size=size, batch_norm=batch_norm, allow_pickle=allow_pickle)
        return AudioEncoder(image, _spectrogram(name, spectrogram)).eval()
    source, extractor = open_sound(name, allow_pickle)
    model, _ = pretrained(AutoModel, source)
    seconds, short = _window(source.folder, spectrogram)
    return SoundEncoder(model, model.config, extractor, seconds=seconds, short=short).eval()


def audio_classifier(
    name: str | Path,
    labels: Sequence[str],
    *,
    task: str = "label",
    problem_type: ProblemType = "single_label_classification",
    spectrogram: Spectrogram | None = None,
    size: int | None = None,
    dropout: float = 0.1,
    seed: int = 0,
    batch_norm: BatchNorm = "frozen",
    allow_pickle: bool = False,
) -> Network:
    """Opens a pretrained model as a classifier of sounds.

    A head that the folder holds is kept as it was trained where its labels are these in this
    order; every other head is fresh.

    Args:
        name: As for `audio_encoder`.
        labels: Name of each output; for a regression, of the one value.
        task: The head's name in the network. Default `label`.
        problem_type: `single_label_classification`, `multi_label_classification` or
            `regression`. Default the first.
        spectrogram: As for `audio_encoder`. Default likewise.
        size: As for `audio_encoder`. Default likewise.
        dropout: Dropout before a linear head; models of sound have heads of their own.
            Default 0.1.
        seed: Seed of a fresh head. Default 0.
        batch_norm: As for `audio_encoder`. Default `frozen`.
        allow_pickle: As for `audio_encoder`. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read or used, or there are no labels.
    """
    if not labels:
        raise ModelError(Problem("labels", "there are none", "the name of each output"))
    if not is_image_model(name):
        source, extractor = open_sound(name, allow_pickle)
        return sound_network(
            source,
            extractor,
            tuple(labels),
            task=task,
            problem_type=problem_type,
            window=_window(source.folder, spectrogram),
            seed=seed,
        )
    network = image_classifier(
        name,
        labels,
        task=task,
        problem_type=problem_type,
        size=size,
        dropout=dropout,
        seed=seed,
        batch_norm=batch_norm,
        allow_pickle=allow_pickle,
    )
    heard: Any = network.encoder
    encoder = AudioEncoder(heard, _spectrogram(name, spectrogram))
    return Network({"audio": encoder}, dict(network.heads.items())).eval()  # type: ignore[arg-type]


def _spectrogram(name: str | Path, given: Spectrogram | None) -> Spectrogram:
    """What was asked for, else what the folder was trained with."""
    if given is not None:
        return given
    note = {} if is_lite(name) else heard_by(fetch_model(name))
    return Spectrogram.from_dict(note.get("audio", {}))


def _window(folder: Path, given: Spectrogram | None) -> tuple[float | None, Short]:
    """The window that a model of sound reads: what was asked for, else what it was trained with."""
    said = Spectrogram.from_dict(heard_by(folder).get("audio", {})) if given is None else given
    return said.seconds, said.short


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # opening it tells what is wrong
    return found if isinstance(found, dict) else {}
