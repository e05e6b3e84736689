"""Classifiers of sounds: opened, saved, opened again, and opened by plain transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from sounds import RATE, save_small_resnet, small_sound_model, wav_bytes, wave
from transfuse.data.audio import Clips
from transfuse.errors import ModelError
from transfuse.models import Network
from transfuse.models.anatomy import evaluating
from transfuse.models.audio import (
    AudioEncoder,
    SoundEncoder,
    Spectrogram,
    audio_classifier,
    audio_encoder,
    is_audio_model,
    load_audio_network,
    save_audio_network,
)

LABELS = ("tone", "chirp", "noise")
HEARING = Spectrogram(seconds=0.5, rate=RATE, window=256, mels=24, masked=0.1)


@pytest.fixture(scope="module")
def clips() -> Clips:
    rng = np.random.default_rng(0)
    return Clips.of([wav_bytes(wave(kind, rng)) for kind in LABELS])


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_resnet(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module", params=["ast", "wav2vec2", "hubert", "wavlm"])
def sound_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    model, _, extractor = small_sound_model(request.param)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def logits(network: Network, clips: Clips) -> torch.Tensor:
    with evaluating(network):
        found: torch.Tensor = network(network.encoder.collate(clips)).logits["label"]
    return found


def test_an_image_model_hears_and_its_folder_says_how(
    image_folder: Path, clips: Clips, tmp_path: Path
) -> None:
    network = audio_classifier(image_folder, LABELS, spectrogram=HEARING, seed=3)
    assert isinstance(network.encoder, AudioEncoder)
    assert list(network.encoders) == ["audio"]
    before = logits(network, clips)
    save_audio_network(network, tmp_path / "saved")
    again = load_audio_network(tmp_path / "saved")
    assert isinstance(again.encoder, AudioEncoder)
    assert again.encoder.spectrogram == HEARING
    assert again.heads["label"].labels == LABELS
    assert again.encoder.fingerprint(2) == network.encoder.fingerprint(2)
    torch.testing.assert_close(logits(again, clips), before)
    said = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert said["transfuse"]["audio"]["seconds"] == 0.5


def test_what_was_trained_on_sounds_hears_on_as_it_did(
    image_folder: Path, clips: Clips, tmp_path: Path
) -> None:
    network = audio_classifier(image_folder, LABELS, spectrogram=HEARING, seed=3)
    save_audio_network(network, tmp_path / "saved")
    assert is_audio_model(tmp_path / "saved")
    assert not is_audio_model(image_folder)
    onward = audio_classifier(tmp_path / "saved", LABELS)
    torch.testing.assert_close(logits(onward, clips), logits(network, clips))
    longer = audio_encoder(tmp_path / "saved", spectrogram=Spectrogram(seconds=1.0))
    assert isinstance(longer, AudioEncoder)
    assert longer.spectrogram.seconds == 1.0
    fresh = audio_classifier(tmp_path / "saved", ["a", "b"], seed=1)
    assert logits(fresh, clips).shape == (3, 2)


def test_a_model_of_sound_is_saved_and_opened(
    sound_folder: Path, clips: Clips, tmp_path: Path
) -> None:
    network = audio_classifier(sound_folder, LABELS, seed=2, spectrogram=Spectrogram(seconds=0.5))
    assert isinstance(network.encoder, SoundEncoder)
    assert network.encoder.seconds == 0.5
    assert network.can_resume(network.encoder.depth), "its head reads the pooled vector alone"
    before = logits(network, clips)
    save_audio_network(network, tmp_path / "saved")
    again = load_audio_network(tmp_path / "saved")
    assert isinstance(again.encoder, SoundEncoder)
    assert again.encoder.seconds == 0.5
    assert again.heads["label"].labels == LABELS
    torch.testing.assert_close(logits(again, clips), before)


def test_plain_transformers_opens_a_model_of_sound_and_answers_alike(
    sound_folder: Path, clips: Clips, tmp_path: Path
) -> None:
    network = audio_classifier(sound_folder, LABELS, seed=2)
    save_audio_network(network, tmp_path / "saved")
    model = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "saved").eval()
    assert tuple(model.config.id2label.values()) == LABELS
    batch = network.encoder.collate(clips)
    read = batch["mel"] if "mel" in batch else batch["waves"]
    with torch.no_grad():
        theirs = model(read).logits
    torch.testing.assert_close(theirs, logits(network, clips), atol=1e-5, rtol=1e-4)


def test_a_stored_head_is_kept_only_for_its_labels(
    sound_folder: Path, clips: Clips, tmp_path: Path
) -> None:
    save_audio_network(audio_classifier(sound_folder, LABELS, seed=2), tmp_path / "saved")
    kept = logits(audio_classifier(tmp_path / "saved", LABELS, seed=9), clips)
    torch.testing.assert_close(kept, logits(load_audio_network(tmp_path / "saved"), clips))
    fresh = logits(audio_classifier(tmp_path / "saved", LABELS[::-1], seed=9), clips)
    assert not torch.allclose(fresh, kept.flip(1))


def test_a_fresh_head_follows_its_seed(image_folder: Path, sound_folder: Path) -> None:
    for folder in (image_folder, sound_folder):
        heads = [audio_classifier(folder, LABELS, seed=seed).heads for seed in (1, 1, 2)]
        one, same, other = ([each.clone() for each in head.parameters()] for head in heads)
        assert all(map(torch.equal, one, same))
        assert not all(map(torch.equal, one, other))


def test_an_encoder_alone_is_opened(image_folder: Path, sound_folder: Path) -> None:
    seeing = audio_encoder(
        image_folder, spectrogram=Spectrogram(seconds=2), size=48, batch_norm="adapted"
    )
    assert isinstance(seeing, AudioEncoder)
    assert seeing.spectrogram.seconds == 2
    assert seeing.image.size == 48
    assert seeing.image.batch_norm == "adapted"
    assert isinstance(audio_encoder(sound_folder), SoundEncoder)
    assert is_audio_model(sound_folder)


def test_half_of_a_model_is_refused(tmp_path: Path) -> None:
    small = {"d_model": 8, "vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1}
    counts = {
        f"{half}_{each}": 1
        for half in ("encoder", "decoder")
        for each in ("layers", "attention_heads")
    }
    config = transformers.WhisperConfig(**small, **counts, eos_token_id=2, decoder_start_token_id=1)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    transformers.WhisperFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="WhisperConfig is an encoder-decoder"):
        audio_encoder(tmp_path)


def test_what_hears_nothing_is_refused(tmp_path: Path, image_folder: Path) -> None:
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    assert not is_audio_model(tmp_path)
    with pytest.raises(ModelError, match="reads neither pictures nor sounds"):
        audio_encoder(tmp_path)
    with pytest.raises(ModelError, match="there are none"):
        audio_classifier(image_folder, [])
    network = audio_classifier(image_folder, LABELS, spectrogram=HEARING)
    head = network.heads["label"]
    two = Network({"audio": network.encoder}, {"a": head, "b": head})  # type: ignore[dict-item]
    with pytest.raises(ModelError, match="one audio encoder with one head"):
        save_audio_network(two, tmp_path / "two")
