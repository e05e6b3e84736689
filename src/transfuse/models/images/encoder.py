"""Image encoders of any `AutoModel` vision kind behind the `Encoder` interface."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import nn
from transformers import AutoModel

from transfuse.data.schema import Role
from transfuse.models.anatomy import evaluating
from transfuse.models.attention import attention_of, switch_attention
from transfuse.models.backbone import pooler_options
from transfuse.models.copies import Held, copied_as
from transfuse.models.encoder import Batch, Encoded, close
from transfuse.models.engine import Engine
from transfuse.models.images.anatomy import (
    ImageAnatomy,
    examine_images,
    run_images,
    trained_size,
)
from transfuse.models.images.batch_norm import (
    BatchNorm,
    check_batch_norm,
    measure,
    normalisers,
)
from transfuse.models.images.inference import fold, runs, suit
from transfuse.models.images.pooling import ImagePooling, pool_images
from transfuse.models.images.portable import portable_pictures
from transfuse.models.images.processing import Processing
from transfuse.models.images.resume import as_tokens, resuming_images, run_images_until
from transfuse.models.images.rows import WaitingPictures, patches_in, pixels_of
from transfuse.models.portable import Portable
from transfuse.models.prints import computed, print_of
from transfuse.models.quiet import quiet_loading
from transfuse.models.resizable import Resizable
from transfuse.models.source import seeded

__all__ = ["ImageEncoder"]

Images = TypeVar("Images", bound="ImageEncoder")

_PROBE_ROWS = 3
_MOMENTUM = 0.1


class ImageEncoder(Resizable):
    """A vision backbone with the processing of its pictures.

    Args:
        backbone: The model without a head.
        config: The config it was built from.
        processing: How a picture becomes pixels; its size is the encoder's.
        pooling: Which vector stands for a picture. Default: the backbone's own, or else the first
            token, or the mean over the map.
        batch_norm: What becomes of BatchNorm's statistics in training: `frozen`, `adapted` or
            `recomputed`; see `batch_norm.py`. Default `frozen`.
        fresh: Builds the same backbone with new weights. Default: what `AutoModel` makes of the
            config.

    Raises:
        ModelError: For an unknown choice, or a size that the backbone cannot read.
    """

    reads = (Role.IMAGE,)
    anatomy: ImageAnatomy
    _factor: torch.Tensor
    _offset: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        config: Any,
        processing: Processing,
        *,
        pooling: ImagePooling | None = None,
        batch_norm: BatchNorm = "frozen",
        fresh: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        check_batch_norm(batch_norm)
        self.backbone = backbone
        self.config = config
        self._processing = Held(processing)
        self._fresh = Held(fresh)
        self._kind = type(backbone).__name__
        self.batch_norm: BatchNorm = batch_norm
        self.anatomy = examine_images(backbone, processing.size, trained_size=trained_size(config))
        self.depth = 1 + len(self.anatomy.blocks)
        self.pooling: ImagePooling = pooling or self.anatomy.pooling
        self._from_scratch = False
        self._resumes: dict[int, bool] = {0: True}
        self._folds: bool | None = None
        self._runs = {torch.float32: True}
        for name, values in (("factor", processing.factor), ("offset", processing.offset)):
            column = torch.tensor(values).reshape(3, 1, 1)
            self.register_buffer(f"_{name}", column, persistent=False)
        with evaluating(self):
            first = {name: part[:1] for name, part in self.probe_batch().items()}
            self.dim = self(first).pooled.shape[-1]

    @property
    def processing(self) -> Processing:
        """How a picture becomes pixels; copies of the encoder share it."""
        return self._processing.value

    @property
    def size(self) -> int:
        """Side of the pictures that the backbone reads, in pixels."""
        return self.processing.size

    @cached_property
    def preprocessing(self) -> str:
        """See `Encoder.preprocessing`."""
        return hashlib.blake2b(self.processing.name.encode(), digest_size=16).hexdigest()

    def preprocess(self, rows: Sequence[Any]) -> WaitingPictures:
        """See `Encoder.preprocess`; nothing is opened yet."""
        return WaitingPictures(rows, patches_in(self.size))

    def collate(self, rows: Any) -> Batch:
        """See `Encoder.collate`; pictures are decoded here, in threads.

        Returns:
            `pixels`, uint8 [n, 3, H, W]; float32 and normalised where transformers' processor
            did the work.

        Raises:
            DataError: For pictures that cannot be decoded, by row.
        """
        pictures = rows.pictures if isinstance(rows, WaitingPictures) else list(rows)
        processing = self.processing
        return {
            "pixels": pixels_of(pictures, processing.pixels, processing.size, processing.needed)
        }

    def forward(self, batch: Batch, from_layer: int = 0) -> Encoded:
        """See `Encoder.forward`; `pixels` are uint8, or float and normalised.

        Raises:
            ValueError: If the batch lacks what `from_layer` needs.
        """
        if from_layer == 0:
            output = run_images(
                self.backbone, self.normalised(batch["pixels"]), self.anatomy.options
            )
            return self._encoded(output)
        hidden = batch.get("hidden")
        if hidden is None or not 0 < from_layer < self.depth:
            raise ValueError(
                f"expected a batch with `hidden` and from_layer from 1 to {self.depth - 1}, "
                f"got from_layer={from_layer} and {sorted(batch)}"
            )
        if not torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(next(self.backbone.parameters()).dtype)
        nothing = hidden.new_zeros(()).expand(len(hidden), 3, self.size, self.size)
        with resuming_images(self.anatomy, from_layer - 1, hidden):
            return self._encoded(run_images(self.backbone, nothing, self.anatomy.options))

    def prefix(self, batch: Batch, layers: int) -> torch.Tensor:
        """See `Encoder.prefix`; a map gives one vector for each place."""
        if not 0 < layers <= self.depth:
            raise ValueError(f"expected layers from 1 to {self.depth}, got {layers}")
        block = layers - 1 if layers < self.depth else len(self.anatomy.blocks)
        with evaluating(self.backbone):
            pixels = self.normalised(batch["pixels"])
            return run_images_until(self.backbone, self.anatomy, block, pixels).contiguous()

    def can_resume(self, layers: int) -> bool:
        """See `Encoder.can_resume`; tried at the first question, on a few pictures.

        Output that holds more numbers than the picture is not worth keeping: False.
        """
        if layers not in self._resumes:
            self._resumes[layers] = self._try_resume(layers)
        return self._resumes[layers]

    def probe_batch(self) -> Batch:
        """See `Encoder.probe_batch`; noise, the same each time."""
        shape = (_PROBE_ROWS, self.size, self.size, 3)
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        return {"pixels": pixels.permute(0, 3, 1, 2).to(self._factor.device)}

    def fingerprint(self, layers: int) -> str:
        """See `Encoder.fingerprint`; BatchNorm's statistics count as weights."""
        settings = {
            "kind": self._kind,
            "config": computed(self.config),
            "preprocessing": self.preprocessing,
            "layers": layers,
            "pooling": self.pooling if layers >= self.depth else None,
        }
        return print_of(settings, self.layers()[:layers])

    def reset(self, seed: int) -> None:
        """See `Encoder.reset`; BatchNorm starts with no statistics, and they are adapted."""
        build = self._fresh.value or partial(self.fresh, self.config)
        with seeded(seed), quiet_loading():
            self.backbone.load_state_dict(build().state_dict())
        self._from_scratch = True
        for layer in normalisers(self.backbone):
            layer.momentum = _MOMENTUM

    def fresh(self, config: Any) -> nn.Module:
        """See `Resizable.fresh`."""
        pooler = getattr(self.backbone, "pooler", None) is not None
        backbone: nn.Module = AutoModel.from_config(config, **pooler_options(config, pooler))
        return backbone

    def around(self, backbone: nn.Module, config: Any) -> "ImageEncoder":
        """See `Resizable.around`."""
        options: Any = {"pooling": self.pooling, "batch_norm": self.batch_norm}
        made = ImageEncoder(backbone, config, self.processing, **options)
        made.set_attention(self.attention)
        return made

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which BatchNorm does what `batch_norm` says."""
        super().train(mode)
        if self.batch_norm == "frozen" and not self._from_scratch:
            for layer in normalisers(self.backbone):
                layer.eval()
        return self

    @property
    def pooling_used(self) -> ImagePooling:
        """See `Encoder.pooling_used`."""
        return self.pooling

    @property
    def finishes(self) -> bool:
        """See `Encoder.finishes`."""
        return self.batch_norm == "recomputed" and bool(normalisers(self.backbone))

    def finish(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """See `Encoder.finish`: measures BatchNorm's statistics with the final weights."""
        learning = [
            layer
            for modules in self.layers()
            for layer in (norm for module in modules for norm in normalisers(module))
            if any(weight.requires_grad for part in modules for weight in part.parameters())
        ]
        if self.finishes and learning:
            # One row alone cannot be normalised by itself.
            several = (batch for batch in batches() if len(batch["pixels"]) > 1)
            measure(self, learning, several, self)

    def portable(self, folder: Path) -> Portable:
        """See `Encoder.portable`."""
        pixels = self.normalised(self.probe_batch()["pixels"])
        return portable_pictures(folder, self.processing, self.backbone, self.anatomy, pixels)

    def set_attention(self, attention: str) -> bool:
        """See `Encoder.set_attention`; a backbone without attention has nothing to switch."""
        return switch_attention(self.backbone, attention)

    def suited(self, engine: Engine) -> Engine:
        """See `Encoder.suited`; plain numbers where convolutions read channels one by one.

        On a processor with 16-bit arithmetic a step of EfficientNet-Lite0 takes 1.6 times as long
        in it, since such convolutions have little to gain and are cast back and forth.
        """
        parts = self.backbone.modules()
        return Engine() if any(isinstance(p, nn.Conv2d) and p.groups > 1 for p in parts) else engine

    @property
    def attention(self) -> str:
        """How attention is computed now; see `TextEncoder.attention`."""
        return attention_of(self.backbone)

    def copied_as(self, dtype: torch.dtype) -> Self:
        """See `Encoder.copied_as`; BatchNorm is folded into the convolutions before it.

        Folding is exact up to rounding; it is tried once, and left where it is not. In 16 bits
        filters of single channels stay in 32, see `inference.py`. A backbone that does not run in
        16 bits, as one whose own code makes 32-bit numbers on the way, stays in 32.
        """
        plain = copied_as(self, torch.float32)
        if self._folded():
            fold(plain.backbone, self.anatomy.folds)
            # A copy of the copy has nothing left to fold.
            plain._folds = False
        if dtype not in self._runs:
            self._runs[dtype] = runs(_suited(plain, dtype), self.probe_batch())
        return _suited(plain, dtype if self._runs[dtype] else torch.float32)

    def _adapted(self) -> bool:
        """Whether an adapter is around the backbone: its parts then have other names."""
        return type(self.backbone).__name__ != self._kind

    def _folded(self) -> bool:
        if self._adapted():
            return False
        if self._folds is None:
            self._folds = bool(self.anatomy.folds) and self._try_fold()
        return self._folds

    def _try_fold(self) -> bool:
        # Both in 32 bits: torch has no BatchNorm of 16-bit weights with 32-bit statistics.
        whole, copy = copied_as(self, torch.float32), copied_as(self, torch.float32)
        fold(copy.backbone, self.anatomy.folds)
        with torch.no_grad():
            batch = self.probe_batch()
            plain, folded = whole(batch), copy(batch)
        return close(plain.pooled.float(), folded.pooled)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pictures of `collate`, normalised [n, 3, H, W], in the backbone's number type."""
        if not pixels.is_floating_point():
            pixels = pixels.float() * self._factor + self._offset
        dtype = next(self.backbone.parameters()).dtype
        return pixels.to(dtype=dtype, memory_format=torch.channels_last)

    def _encoded(self, output: Any) -> Encoded:
        tokens = as_tokens(output.last_hidden_state)
        extra = int(getattr(self.config, "num_register_tokens", None) or 0)
        mask = torch.ones(tokens.shape[:2], dtype=torch.int64, device=tokens.device)
        return Encoded(pool_images(output, self.pooling, extra), tokens, mask)

    def _try_resume(self, layers: int) -> bool:
        if not 0 < layers < self.depth:
            return False
        if math.prod(self.anatomy.shapes[layers - 1]) > 3 * self.size**2:
            return False
        batch = self.probe_batch()
        with evaluating(self):
            plain = self(batch)
            hidden = self.prefix(batch, layers)
            resumed = self({"hidden": hidden}, from_layer=layers)
            assert plain.tokens is not None
            assert resumed.tokens is not None
            return close(plain.pooled, resumed.pooled) and close(plain.tokens, resumed.tokens)


def _suited(plain: Images, dtype: torch.dtype) -> Images:
    """A copy of a copy in 32 bits, in a number type and laid out for inference."""
    copy = copied_as(plain, dtype)
    if not plain._adapted():
        suit(copy.backbone, plain.backbone, dtype)
    # Those that could not be folded: torch has no arithmetic for 16-bit ones.
    for layer in normalisers(copy.backbone):
        layer.float()
    return copy
