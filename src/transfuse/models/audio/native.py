"""Models of sound with the classification head of their architecture.

AST reads its pooled vector through a norm and a linear layer; wav2vec 2.0 and its kin project every
vector and take the mean. The head's own code is kept, so that the folder loads in plain
transformers and answers the same.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
)

from transfuse.errors import ModelError, Problem
from transfuse.models.audio.backbone import SoundEncoder
from transfuse.models.audio.rows import Short
from transfuse.models.encoder import Batch, Encoded
from transfuse.models.find import fetch_model, weights_in
from transfuse.models.heads import NativeHead, ProblemType, label_names
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.source import Source, pretrained, seeded

__all__ = ["SoundHead", "has_sound_head", "open_sound", "sound_network"]

_EXTRACTOR = "preprocessor_config.json"


class SoundHead(NativeHead):
    """The head of an `AutoModelForAudioClassification` model; see `NativeHead`.

    Args:
        model: The classification model; its backbone is taken out.

    Raises:
        ValueError: If the model keeps its backbone under no name of its own.
    """

    @staticmethod
    def taken_from(model: Any) -> tuple[nn.Module, "SoundHead"]:
        """Takes a classification model apart.

        Args:
            model: The model.

        Returns:
            Its backbone and its head.
        """
        backbone: nn.Module = getattr(model, model.base_model_prefix)
        return backbone, SoundHead(model)

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`; with `tokens` None every row is one token, the pooled vector."""
        tokens = encoded.pooled[:, None] if encoded.tokens is None else encoded.tokens
        self.stand_in.encoded = Encoded(encoded.pooled, tokens)
        try:
            # What it is called with reaches only the stand-in, which answers what it was told.
            logits: torch.Tensor = self.model(encoded.pooled).logits
        finally:
            self.stand_in.encoded = None
        return logits


def has_sound_head(kind: Any) -> bool:
    """Whether transformers has a classification model of sounds for a class of configs.

    Args:
        kind: The class.
    """
    return kind in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING


def sound_network(
    source: Source,
    extractor: Any,
    labels: tuple[str, ...] | None = None,
    *,
    task: str = "label",
    column: str = "audio",
    problem_type: ProblemType | None = None,
    window: tuple[float | None, Short] = (None, "repeat"),
    seed: int = 0,
) -> Network:
    """A network from the folder of a model of sound, with the architecture's own head.

    Args:
        source: The opened folder.
        extractor: Its feature extractor.
        labels: Name of each output. The stored head is kept where its labels are these in this
            order; otherwise the head is fresh. Default: the folder's labels, and its head.
        task: The head's name. Default `label`.
        column: The name of the column of sounds. Default `audio`.
        problem_type: What kind of classification. Default: what the folder says.
        window: Seconds that are read of each sound, and what fills them after a shorter one.
        seed: Seed of a fresh head. Default 0.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If there is no head for the architecture, or the weights cannot be read.
    """
    config = source.config
    if not has_sound_head(type(config)):
        kind = type(config).__name__
        raise ModelError(Problem(str(source.top), f"{kind} has no classification head of sounds"))
    stored = label_names(config)
    wanted = stored if labels is None else labels
    config.id2label = dict(enumerate(wanted))
    config.label2id = {name: place for place, name in config.id2label.items()}
    config.problem_type = problem_type or config.problem_type
    model, fresh = pretrained(
        AutoModelForAudioClassification, source, seed=seed, ignore_mismatched_sizes=True
    )
    backbone, head = SoundHead.taken_from(model)
    if set(head.model.state_dict()) - fresh and stored != wanted:
        with seeded(seed), quiet_loading():
            new = AutoModelForAudioClassification.from_config(config)
        head.model.load_state_dict(SoundHead.taken_from(new)[1].model.state_dict())
    seconds, short = window
    encoder = SoundEncoder(backbone, model.config, extractor, seconds=seconds, short=short)
    return Network({column: encoder}, {task: head}).eval()


def open_sound(name: str | Path, allow_pickle: bool = False) -> tuple[Source, Any]:
    """Opens the config and the feature extractor of a model of sound.

    Args:
        name: As for `audio_encoder`.
        allow_pickle: As for `audio_encoder`. Default False.

    Returns:
        The opened folder, and the extractor.

    Raises:
        ModelError: If it is no model of sound, or cannot be read.
    """
    folder = fetch_model(name)
    safe = weights_in(folder, allow_pickle=allow_pickle)
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            if not (folder / _EXTRACTOR).is_file():
                raise ModelError(
                    Problem(
                        str(name),
                        "it reads neither pictures nor sounds, or its feature extractor is missing",
                        f"an image model, or a model of sound with its {_EXTRACTOR}",
                    )
                )
            extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(Problem(str(folder), f"cannot be read: {said}")) from error
    if config.is_encoder_decoder:
        raise ModelError(
            Problem(
                str(name),
                f"{type(config).__name__} is an encoder-decoder, and its half is no model folder",
                "an encoder of sounds, such as AST, wav2vec 2.0 or HuBERT",
            )
        )
    options = {"dtype": torch.float32, "use_safetensors": safe, "trust_remote_code": False}
    return Source(folder, config, None, folder, options), extractor
