"""Sounds through an image encoder: the contract of every encoder, and what is its own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, ResNetConfig, ViTConfig

from sounds import RATE, wav_bytes, wave
from transfuse.data.audio import Clips
from transfuse.data.schema import Role
from transfuse.errors import DataError
from transfuse.models.anatomy import evaluating
from transfuse.models.audio import AudioEncoder, Spectrogram
from transfuse.models.images.encoder import ImageEncoder
from transfuse.models.images.processing import Processing, default_settings

SETTINGS = Spectrogram(seconds=0.5, rate=RATE, window=512, mels=32)
SIZE = 32


def image_encoder(kind: str = "resnet", **options: str) -> ImageEncoder:
    torch.manual_seed(0)
    config = (
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        if kind == "resnet"
        else ViTConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=24,
            image_size=SIZE,
            patch_size=8,
        )
    )
    backbone = AutoModel.from_config(config).eval()
    processing = Processing.read(default_settings(SIZE))
    return ImageEncoder(backbone, config, processing, pooling="mean", **options).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["resnet", "vit"])
def encoder(request: pytest.FixtureRequest) -> AudioEncoder:
    return AudioEncoder(image_encoder(request.param), SETTINGS).eval()


@pytest.fixture(scope="module")
def clips() -> Clips:
    rng = np.random.default_rng(0)
    sounds = [wav_bytes(wave(kind, rng)) for kind in ("tone", "chirp", "noise")]
    return Clips.of([*sounds, wav_bytes(wave("tone", rng, rate=11_025, seconds=0.2), 11_025)])


def test_sounds_of_any_rate_and_length_become_vectors(encoder: AudioEncoder, clips: Clips) -> None:
    rows = encoder.preprocess(clips)
    batch = encoder.collate(rows)
    assert batch["mel"].shape == (4, SIZE, SIZE)
    with evaluating(encoder):
        encoded = encoder(batch)
    assert encoded.pooled.shape == (4, encoder.dim)
    assert encoded.pooled.isfinite().all()
    assert encoder.reads == (Role.AUDIO,)
    assert rows.lengths.tolist() == [4] * 4


def test_a_row_is_the_same_whatever_shares_its_batch(encoder: AudioEncoder, clips: Clips) -> None:
    rows = encoder.preprocess(clips)
    with evaluating(encoder):
        together = encoder(encoder.collate(rows.take([3, 0, 2]))).pooled
        alone = encoder(encoder.collate(rows.take([2]))).pooled
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-4)


def test_every_prefix_that_can_be_resumed_gives_the_same_vectors(
    encoder: AudioEncoder, clips: Clips
) -> None:
    batch = encoder.collate(encoder.preprocess(clips))
    resumable = [depth for depth in range(1, encoder.depth) if encoder.can_resume(depth)]
    assert resumable
    with evaluating(encoder):
        plain = encoder(batch).pooled
        for depth in resumable:
            hidden = encoder.prefix(batch, depth)
            resumed = encoder({"hidden": hidden}, from_layer=depth).pooled
            torch.testing.assert_close(resumed, plain, atol=1e-5, rtol=1e-4)


def test_layers_hold_every_parameter_once(encoder: AudioEncoder) -> None:
    held = [id(p) for layer in encoder.layers() for part in layer for p in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) <= {id(p) for p in encoder.parameters()}
    assert len(encoder.layers()) == encoder.depth


def test_keys_follow_the_content_and_names_follow_the_settings(
    encoder: AudioEncoder, clips: Clips, tmp_path: Path
) -> None:
    first = clips[0]
    assert first is not None
    (tmp_path / "same.wav").write_bytes(first.read())
    keys = encoder.preprocess([first, tmp_path / "same.wav", clips[1], None]).keys()
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 3
    longer = AudioEncoder(encoder.image, Spectrogram(**SETTINGS.to_dict() | {"seconds": 1.0}))
    hidden = AudioEncoder(encoder.image, Spectrogram(**SETTINGS.to_dict() | {"masked": 0.2}))
    assert longer.preprocessing != encoder.preprocessing == hidden.preprocessing
    assert longer.fingerprint(1) != encoder.fingerprint(1) == hidden.fingerprint(1)
    assert encoder.fingerprint(1) != encoder.image.fingerprint(1)


def test_fresh_weights_are_the_same_from_the_same_seed(clips: Clips) -> None:
    encoder = AudioEncoder(image_encoder(), SETTINGS).eval()
    batch = encoder.collate(clips)

    def pooled(seed: int) -> torch.Tensor:
        encoder.reset(seed)
        with evaluating(encoder):
            found: torch.Tensor = encoder(batch).pooled
        return found

    before = encoder.fingerprint(1)
    one, again, other = pooled(1), pooled(1), pooled(2)
    assert encoder.fingerprint(1) != before
    torch.testing.assert_close(one, again)
    assert not torch.allclose(one, other)


def test_a_copy_answers_alike_and_hears_the_same(encoder: AudioEncoder, clips: Clips) -> None:
    batch = encoder.collate(clips)
    copy = encoder.copied_as(torch.bfloat16)
    torch.testing.assert_close(copy.collate(clips)["mel"], batch["mel"])
    with evaluating(encoder):
        plain, coarse = encoder(batch).pooled, copy(batch).pooled.float()
    assert torch.cosine_similarity(plain, coarse).min() > 0.99
    exact = encoder.copied_as(torch.float32)
    with evaluating(encoder):
        torch.testing.assert_close(exact(batch).pooled, plain, atol=1e-4, rtol=1e-4)


def test_the_picture_is_normalised_as_pictures_are(clips: Clips) -> None:
    encoder = AudioEncoder(image_encoder(), SETTINGS).eval()
    mel = encoder.collate(clips)["mel"]
    as_bytes = (mel * 255).round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    with evaluating(encoder):
        seen = encoder.image({"pixels": as_bytes}).pooled
        heard = encoder({"mel": as_bytes[:, 0] / 255}).pooled
    torch.testing.assert_close(heard, seen, atol=1e-5, rtol=1e-4)


def test_training_hides_stripes_and_answering_does_not(clips: Clips) -> None:
    settings = Spectrogram(**SETTINGS.to_dict() | {"masked": 0.5})
    encoder = AudioEncoder(image_encoder("vit"), settings)
    batch = encoder.collate(clips)
    whole = batch["mel"].clone()
    with torch.no_grad():
        assert not torch.allclose(encoder.train()(batch).pooled, encoder.eval()(batch).pooled)
        torch.testing.assert_close(encoder(batch).pooled, encoder(batch).pooled)
    torch.testing.assert_close(batch["mel"], whole, msg="the batch itself is left as it was")


def test_sounds_that_break_later_are_told_by_row(encoder: AudioEncoder, clips: Clips) -> None:
    first = clips[0]
    assert first is not None
    rows = encoder.preprocess(Clips.of([first, b"no sound", b""])).take([2, 0, 1])
    with pytest.raises(DataError) as caught:
        encoder.collate(rows)
    said = sorted(problem.where for problem in caught.value.problems)
    assert said == ["audio, row 2", "audio, row 3"]


def test_no_rows_are_a_batch_of_none(encoder: AudioEncoder) -> None:
    assert encoder.collate(encoder.preprocess([])).keys() == {"mel"}
    assert len(encoder.collate([])["mel"]) == 0


def test_adapters_go_into_the_image_model(encoder: AudioEncoder) -> None:
    (place,) = encoder.adaptable()
    assert place.role == Role.AUDIO
    assert place.backbone is encoder.image.backbone
