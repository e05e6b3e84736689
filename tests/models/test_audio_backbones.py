"""Models of sound with their own feature extractor: the contract of every encoder."""

from typing import Any

import numpy as np
import pytest
import torch

from sounds import small_sound_model, wav_bytes, wave
from transfuse.data.audio import Clips
from transfuse.data.schema import Role
from transfuse.models.anatomy import evaluating
from transfuse.models.audio import SoundEncoder

KINDS = ("ast", "wav2vec2", "hubert", "wavlm")


@pytest.fixture(scope="module", params=KINDS)
def encoder(request: pytest.FixtureRequest) -> SoundEncoder:
    model, config, extractor = small_sound_model(request.param)
    seconds = None if request.param == "ast" else 0.5
    return SoundEncoder(model, config, extractor, seconds=seconds).eval()


@pytest.fixture(scope="module")
def clips() -> Clips:
    rng = np.random.default_rng(0)
    sounds = [wav_bytes(wave(kind, rng)) for kind in ("tone", "chirp", "noise")]
    return Clips.of([*sounds, wav_bytes(wave("tone", rng, rate=11_025, seconds=0.2), 11_025)])


def test_sounds_become_vectors(encoder: SoundEncoder, clips: Clips) -> None:
    rows = encoder.preprocess(clips)
    with evaluating(encoder):
        encoded = encoder(encoder.collate(rows))
    assert encoded.pooled.shape == (4, encoder.dim)
    assert encoded.tokens is not None
    assert encoded.tokens.shape[1] == rows.lengths[0]
    assert encoded.pooled.isfinite().all()
    assert encoder.reads == (Role.AUDIO,)


def test_the_window_is_what_the_extractor_fills() -> None:
    model, config, extractor = small_sound_model("ast")
    assert SoundEncoder(model, config, extractor).seconds == pytest.approx(0.64)
    model, config, extractor = small_sound_model("hubert")
    assert SoundEncoder(model, config, extractor).seconds == 5


def test_a_row_is_the_same_whatever_shares_its_batch(encoder: SoundEncoder, clips: Clips) -> None:
    rows = encoder.preprocess(clips)
    with evaluating(encoder):
        together = encoder(encoder.collate(rows.take([3, 0, 2]))).pooled
        alone = encoder(encoder.collate(rows.take([2]))).pooled
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-4)


def test_every_prefix_that_can_be_resumed_gives_the_same_vectors(
    encoder: SoundEncoder, clips: Clips
) -> None:
    batch = encoder.collate(clips)
    resumable = [depth for depth in range(1, encoder.depth) if encoder.can_resume(depth)]
    assert 1 in resumable
    with evaluating(encoder):
        plain = encoder(batch).pooled
        for depth in resumable:
            hidden = encoder.prefix(batch, depth)
            resumed = encoder({"hidden": hidden}, from_layer=depth).pooled
            torch.testing.assert_close(resumed, plain, atol=1e-5, rtol=1e-4)
        last = encoder(batch).tokens
        torch.testing.assert_close(encoder.prefix(batch, encoder.depth), last)


def test_layers_hold_every_parameter_that_is_computed_with(
    encoder: SoundEncoder, clips: Clips
) -> None:
    held = [id(p) for layer in encoder.layers() for part in layer for p in part.parameters()]
    assert len(held) == len(set(held))
    encoder.zero_grad()
    encoder(encoder.collate(clips)).pooled.square().sum().backward()
    moved = {id(p) for p in encoder.parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    encoder.zero_grad()
    assert moved <= set(held)


def test_training_adds_no_noise_of_numpy(encoder: SoundEncoder, clips: Clips) -> None:
    batch = encoder.collate(clips)
    encoder.train()
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    encoder(batch)
    encoder.eval()
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]


def test_names_follow_settings_and_weights(encoder: SoundEncoder) -> None:
    other = SoundEncoder(
        encoder.backbone, encoder.config, encoder.extractor, seconds=0.6, short="silence"
    )
    assert other.preprocessing != encoder.preprocessing
    assert encoder.fingerprint(1) != encoder.fingerprint(2) != other.fingerprint(2)


def test_fresh_weights_are_the_same_from_the_same_seed() -> None:
    model, config, extractor = small_sound_model("ast")
    encoder = SoundEncoder(model, config, extractor).eval()
    prints: list[Any] = []
    for seed in (1, 2, 1):
        encoder.reset(seed)
        prints.append(encoder.fingerprint(encoder.depth))
    assert prints[0] == prints[2] != prints[1]


def test_attention_is_switched_and_the_answer_stays(encoder: SoundEncoder, clips: Clips) -> None:
    batch = encoder.collate(clips)
    with evaluating(encoder):
        assert encoder.set_attention("sdpa") in (True, False)
        before = encoder(batch).pooled
        assert encoder.set_attention("eager")
        torch.testing.assert_close(encoder(batch).pooled, before, atol=1e-5, rtol=1e-4)
    assert not encoder.set_attention("nonsense")


def test_a_copy_in_16_bits_answers_alike(encoder: SoundEncoder, clips: Clips) -> None:
    batch = encoder.collate(clips)
    copy = encoder.copied_as(torch.bfloat16)
    with evaluating(encoder):
        plain, coarse = encoder(batch).pooled, copy(batch).pooled.float()
    assert torch.cosine_similarity(plain, coarse).min() > 0.98
