"""Models of sound of transformers (AST, wav2vec 2.0, HuBERT, WavLM …) behind `Encoder`.

Each reads windows of one length, made ready by its own feature extractor, so that a sound's vector
never depends on what shares its batch.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoModel

from transfuse.data.audio import Clips
from transfuse.data.schema import Role
from transfuse.models.anatomy import Anatomy, dissect, evaluating
from transfuse.models.attention import attention_of, switch_attention
from transfuse.models.audio.mel import SECONDS
from transfuse.models.audio.rows import Short, Sounds, waves_of
from transfuse.models.copies import Held
from transfuse.models.encoder import Batch, Encoded, close
from transfuse.models.prints import computed, print_of
from transfuse.models.quiet import quiet_loading
from transfuse.models.resizable import Resizable
from transfuse.models.resume import entering, resuming
from transfuse.models.source import seeded

__all__ = ["SoundEncoder"]

_FRAME = 0.010
_PROBE_ROWS = 3


class SoundEncoder(Resizable):
    """A backbone of sound with its feature extractor.

    Args:
        backbone: The model without a head.
        config: The config it was built from.
        extractor: Its feature extractor, from samples to what the backbone reads.
        seconds: Length of the window that is read of each sound; of longer ones the middle.
            Default: what the extractor fills, or 5.
        short: What fills the window after a shorter sound: the sound again (`repeat`), or
            `silence`. Default `repeat`.
    """

    reads = (Role.AUDIO,)
    anatomy: Anatomy

    def __init__(
        self,
        backbone: nn.Module,
        config: Any,
        extractor: Any,
        *,
        seconds: float | None = None,
        short: Short = "repeat",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        # It hides random stretches of training rows, drawn by numpy's global generator.
        config.apply_spec_augment = False
        self._extractor = Held(extractor)
        self._kind = type(backbone).__name__
        self._reads = str(cast(Any, backbone).main_input_name)
        self.seconds = _seconds(extractor) if seconds is None else seconds
        self.short: Short = short
        self._silence = Held(self._batch(torch.zeros(1, round(self.seconds * self.rate))))
        probe = self.probe_batch()
        self.anatomy, output = dissect(
            backbone, int(config.num_hidden_layers), lambda: self._run(probe), {}
        )
        self.depth = 1 + len(self.anatomy.blocks)
        encoded = self._encoded(output)
        self.dim = encoded.pooled.shape[-1]
        assert encoded.tokens is not None
        self._tokens = encoded.tokens.shape[1]
        self._resumes: dict[int, bool] = {0: True}

    @property
    def extractor(self) -> Any:
        """The feature extractor; copies of the encoder share it."""
        return self._extractor.value

    @property
    def rate(self) -> int:
        """Samples a second that it reads."""
        return int(self.extractor.sampling_rate)

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        said = [self.extractor.to_dict(), self.seconds, self.short]
        text = json.dumps(said, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def preprocess(self, rows: Sequence[Any]) -> Sounds:
        """See `Encoder.preprocess`; nothing is opened yet.

        Args:
            rows: `Clips`, or clips, bytes of sound files, or paths; None is silence.
        """
        return Sounds.of(rows, self._tokens)

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`; sounds are decoded here, in threads.

        Returns:
            `waves`, float32 [n, samples], or for models that read spectra `mel`,
            float32 [n, frames, filters], in the order of the model.

        Raises:
            DataError: For sounds that cannot be decoded, all of them, by row.
        """
        clips = rows.clips if isinstance(rows, Sounds) else Clips.of(rows)
        return self._batch(waves_of(clips, self.rate, self.seconds, self.short))

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`.

        Raises:
            ValueError: If the batch lacks what `from_layer` needs.
        """
        if from_layer == 0:
            return self._encoded(self._run(batch))
        hidden = batch.get("hidden")
        if hidden is None or not 0 < from_layer < self.depth:
            raise ValueError(
                f"expected a batch with `hidden` and from_layer from 1 to {self.depth - 1}, "
                f"got from_layer={from_layer} and {sorted(batch)}"
            )
        silence = {
            name: each.to(hidden.device).expand(len(hidden), *each.shape[1:])
            for name, each in self._silence.value.items()
        }
        with resuming(self.anatomy, from_layer - 1, hidden):
            return self._encoded(self._run(silence))

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`."""
        if not 0 < layers <= self.depth:
            raise ValueError(f"expected layers from 1 to {self.depth}, got {layers}")
        block = layers - 1 if layers < self.depth else len(self.anatomy.blocks)
        with evaluating(self.backbone):
            return entering(self.anatomy, block, lambda: self._run(batch))

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; tried at the first question, on noise."""
        if layers not in self._resumes:
            self._resumes[layers] = self._try_resume(layers)
        return self._resumes[layers]

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; noise, the same each time."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(_PROBE_ROWS, round(self.seconds * self.rate), generator=generator)
        device = next(self.backbone.parameters()).device
        return {name: each.to(device) for name, each in self._batch(0.1 * noise).items()}

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`."""
        settings = {
            "kind": self._kind,
            "config": computed(self.config),
            "preprocessing": self.preprocessing,
            "layers": layers,
            "pooled": layers >= self.depth,
        }
        return print_of(settings, self.layers()[:layers])

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`."""
        with seeded(seed), quiet_loading():
            fresh = self.fresh(self.config)
        self.backbone.load_state_dict(fresh.state_dict())

    def fresh(self, config: Any) -> nn.Module:
        """See `Resizable.fresh`."""
        backbone: nn.Module = AutoModel.from_config(config)
        return backbone

    def around(self, backbone: nn.Module, config: Any) -> "SoundEncoder":
        """See `Resizable.around`."""
        made = SoundEncoder(
            backbone, config, self.extractor, seconds=self.seconds, short=self.short
        )
        made.set_attention(attention_of(self.backbone))
        return made

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`."""
        return switch_attention(self.backbone, attention)

    def _batch(self, waves: torch.Tensor) -> Batch:
        made = self.extractor(list(waves.numpy()), sampling_rate=self.rate, return_tensors="pt")
        found: torch.Tensor = made[self._reads]
        return {"waves" if found.dim() == waves.dim() else "mel": found.float()}

    def _run(self, batch: Batch) -> Any:
        read = batch["waves"] if "waves" in batch else batch["mel"]
        dtype = next(self.backbone.parameters()).dtype
        return self.backbone(**{self._reads: read.to(dtype)}, return_dict=True)

    def _encoded(self, output: Any) -> Encoded:
        tokens: torch.Tensor = output.last_hidden_state
        own = getattr(output, "pooler_output", None)
        mask = torch.ones(tokens.shape[:2], dtype=torch.int64, device=tokens.device)
        return Encoded(tokens.mean(dim=1) if own is None else own, tokens, mask)

    def _try_resume(self, layers: int) -> bool:
        if not 0 < layers < self.depth:
            return False
        batch = self.probe_batch()
        with evaluating(self):
            plain = self(batch)
            hidden = self.prefix(batch, layers)
            if hidden.shape[:2] != plain.tokens.shape[:2]:
                return False
            try:
                resumed = self({"hidden": hidden}, from_layer=layers)
            except AttributeError:
                # WavLM's later blocks look for a tensor that the first one hands on.
                return False
            return close(plain.pooled, resumed.pooled) and close(plain.tokens, resumed.tokens)


def _seconds(extractor: Any) -> float:
    """The length that an extractor fills: its spectra have 100 frames a second."""
    frames = getattr(extractor, "max_length", None)
    return float(frames) * _FRAME if frames else SECONDS
