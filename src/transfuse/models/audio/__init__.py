"""Spectrograms in front of image models, and models of sound. Read `encoder.py` first."""

from transfuse.models.audio.backbone import SoundEncoder
from transfuse.models.audio.encoder import AudioEncoder
from transfuse.models.audio.folder import load_audio_network, save_audio_encoder, save_audio_network
from transfuse.models.audio.loading import audio_classifier, audio_encoder, is_audio_model
from transfuse.models.audio.mel import Spectrogram

__all__ = [
    "AudioEncoder",
    "SoundEncoder",
    "Spectrogram",
    "audio_classifier",
    "audio_encoder",
    "is_audio_model",
    "load_audio_network",
    "save_audio_encoder",
    "save_audio_network",
]
