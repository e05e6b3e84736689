"""Generated sounds of a few kinds, which tests of audio share."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 8_000
KINDS = ("tone", "chirp", "noise", "pulses")


def wave(
    kind: str, rng: np.random.Generator, *, rate: int = RATE, seconds: float = 0.5
) -> npt.NDArray[np.float32]:
    """A sound of a kind, of random pitch and loudness, in some noise."""
    times = np.arange(round(rate * seconds)) / rate
    pitch = rng.uniform(300, 1500)
    match kind:
        case "tone":
            sound = np.sin(2 * np.pi * pitch * times)
        case "chirp":
            sound = np.sin(2 * np.pi * pitch * (times + times**2 / seconds))
        case "noise":
            sound = rng.normal(0, 0.6, len(times))
        case "pulses":
            sound = np.sin(2 * np.pi * pitch * times) * ((times * rng.uniform(10, 14)) % 1 < 0.4)
        case _:
            raise ValueError(kind)
    loudness = rng.uniform(0.1, 0.6)
    return (loudness * (sound + rng.normal(0, 0.05, len(times)))).astype(np.float32)


def wav_bytes(samples: npt.ArrayLike, rate: int = RATE, **options: str) -> bytes:
    """Samples as the bytes of a sound file, WAV of 16 bits by default."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples), rate, **({"format": "WAV"} | options))
    return file.getvalue()


def write_sounds(
    folder: Path, each: int = 10, seed: int = 0, kinds: tuple[str, ...] = KINDS
) -> Path:
    """A folder of WAV files, one folder for each kind."""
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            content = wav_bytes(np.clip(wave(kind, rng), -1, 1))
            (folder / kind / f"{number:03}.wav").write_bytes(content)
    return folder


def small_sound_model(kind: str) -> tuple[Any, Any, Any]:
    """A tiny transformers model of sound with random weights, its config and its extractor."""
    import torch
    import transformers

    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
    }
    torch.manual_seed(0)
    if kind == "ast":
        config: Any = transformers.ASTConfig(**small, max_length=64, num_mel_bins=32)
        extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    else:
        configs = {
            "wav2vec2": transformers.Wav2Vec2Config,
            "hubert": transformers.HubertConfig,
            "wavlm": transformers.WavLMConfig,
        }
        config = configs[kind](
            **small,
            conv_dim=[8, 8],
            conv_stride=[5, 16],
            conv_kernel=[10, 16],
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
        )
        extractor = transformers.Wav2Vec2FeatureExtractor()
    return transformers.AutoModel.from_config(config).eval(), config, extractor


def save_small_resnet(folder: Path) -> Path:
    """A folder with a tiny image model with random weights, for pictures of 32 pixels."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic"
    )
    transformers.utils.logging.disable_progress_bar()
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    settings = {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_pct": 0.875,
        "resample": 3,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
