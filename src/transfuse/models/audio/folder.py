"""Networks of sounds to folders and back.

An image model that hears is the folder of that image model, with the settings of its spectrogram
in `config.json` under `transfuse.audio`. A model of sound is a folder that plain transformers
opens as an audio classifier.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForAudioClassification

from transfuse.errors import ModelError, Problem
from transfuse.files import write_whole
from transfuse.models.audio.backbone import SoundEncoder
from transfuse.models.audio.encoder import AudioEncoder
from transfuse.models.audio.loading import heard_by
from transfuse.models.audio.mel import Spectrogram
from transfuse.models.audio.native import SoundHead, open_sound, sound_network
from transfuse.models.find import fetch_model
from transfuse.models.heads import LinearHead
from transfuse.models.images import is_image_model, load_image_network, save_image_network
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.task_folder import check_names

__all__ = ["load_audio_network", "save_audio_encoder", "save_audio_network"]

_NOTE = "transfuse"


def save_audio_network(network: Network, folder: str | Path) -> None:
    """Writes a network's weights (safetensors), config.json and preprocessor into a folder.

    The caller sees to it that the folder appears under its final name only when it is whole.

    Args:
        network: One audio encoder with one head.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If the network has another shape, or has parameters that its architecture does
            not know (adapters that were not merged).
    """
    folder = Path(folder)
    if len(network.encoders) == 1 and len(network.heads) == 1:
        (column,), encoder = network.encoders, network.encoder
        ((task, head),) = network.heads.items()
        if isinstance(encoder, AudioEncoder):
            seen = Network({column: encoder.image}, {task: head})  # type: ignore[dict-item]
            save_image_network(seen, folder)
            _add_settings(folder / "config.json", encoder.spectrogram)
            return
        if isinstance(encoder, SoundEncoder) and isinstance(head, SoundHead):
            _save_sound(encoder, head, {"task": task, "column": column}, folder)
            return
    kinds = [type(part).__name__ for part in (*network.encoders.values(), *network.heads.values())]
    what = f"it is {' with '.join(kinds)}"
    raise ModelError(Problem("network", what, "one audio encoder with one head"))


def save_audio_encoder(encoder: AudioEncoder | SoundEncoder, folder: str | Path) -> None:
    """Writes an encoder alone, for `audio_encoder` to open.

    Args:
        encoder: The encoder.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If it has parameters that its architecture does not know (adapters that were
            not merged).
    """
    folder = Path(folder)
    if isinstance(encoder, AudioEncoder):
        # The folder of a classifier, so that it opens as any other image model does.
        head = LinearHead(encoder.dim, 1, labels=["unused"])
        save_audio_network(Network({"audio": encoder}, {"label": head}), folder)
        return
    backbone: Any = encoder.backbone
    with quiet_loading():
        with torch.device("meta"):
            plain = AutoModel.from_config(encoder.config)
        check_names(backbone, plain)
        setattr(backbone.config, _NOTE, {"audio": _window_said(encoder)})
        backbone.config.name_or_path = ""  # no paths of this machine
        backbone.save_pretrained(folder)
        encoder.extractor.save_pretrained(folder)


def load_audio_network(folder: str | Path, *, allow_pickle: bool = False) -> Network:
    """Opens a folder that `save_audio_network` wrote, or an audio classifier of transformers.

    Args:
        folder: The folder; a package or a hub id will do as well.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The network with its labels, in evaluation mode.

    Raises:
        ModelError: If there is no classifier of sounds in the folder, or it cannot be read.
    """
    found = fetch_model(folder)
    note = {"task": "label", "column": "audio", "audio": {}, **heard_by(found)}
    if is_image_model(found):
        network = load_image_network(found, allow_pickle=allow_pickle)
        image: Any = network.encoder
        encoder = AudioEncoder(image, Spectrogram.from_dict(note["audio"]))
        heads: Any = dict(network.heads.items())
        return Network({note["column"]: encoder}, heads).eval()
    source, extractor = open_sound(found, allow_pickle)
    return sound_network(
        source,
        extractor,
        task=note["task"],
        column=note["column"],
        window=(note["audio"].get("seconds"), note["audio"].get("short", "repeat")),
    )


def _add_settings(path: Path, spectrogram: Spectrogram) -> None:
    said = json.loads(path.read_text(encoding="utf-8"))
    said[_NOTE]["audio"] = spectrogram.to_dict()
    write_whole(path, json.dumps(said, indent=2, sort_keys=True) + "\n")


def _save_sound(encoder: SoundEncoder, head: SoundHead, note: dict[str, Any], folder: Path) -> None:
    with quiet_loading(), head.whole(encoder.backbone) as model:
        setattr(model.config, _NOTE, {**note, "audio": _window_said(encoder)})
        with torch.device("meta"):
            plain = AutoModelForAudioClassification.from_config(model.config)
        check_names(model, plain)
        model.config.name_or_path = ""  # no paths of this machine
        model.save_pretrained(folder)
        encoder.extractor.save_pretrained(folder)


def _window_said(encoder: SoundEncoder) -> dict[str, Any]:
    return {"seconds": encoder.seconds, "short": encoder.short}
