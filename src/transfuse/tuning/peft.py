"""Parameter-efficient deltas, theta_target = theta_source + delta, through the `peft` library."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from transfuse.errors import ModelError, Problem, RecipeError
from transfuse.models import Adaptable, Encoder, Network
from transfuse.models.anatomy import evaluating
from transfuse.recipe.methods import nearest
from transfuse.tuning.base import Group, Stage, Tuning, head_group, layer_names

__all__ = ["Dora", "Ia3", "Lora", "Peft", "Vera"]


_SHAPE = ("stride", "padding", "dilation", "groups", "kernel_size", "in_channels", "out_channels")
"""What the code of a model may read of its convolutions."""

_SEE = "See the options in peft; methods that put prompts before the text are not for encoders."


def _places(network: Network) -> list[Adaptable]:
    """The backbones of the network."""
    encoders = [each for each in network.encoders.values() if isinstance(each, Encoder)]
    return [place for encoder in encoders for place in encoder.adaptable()]


def _show_convolutions(backbone: nn.Module) -> None:
    """Lets the model's own code read the shape of a convolution that has a delta around it.

    MobileNet pads by the stride of the convolution that follows; peft's layers do not tell theirs.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for part in backbone.modules():
        if isinstance(part, BaseTunerLayer) and isinstance(part, nn.Module):
            within = part.get_base_layer()
            for name in _SHAPE if isinstance(within, nn.Conv2d) else ():
                if not hasattr(part, name):
                    setattr(part, name, getattr(within, name))


def _try(encoder: Encoder, method: str) -> None:
    """Runs an encoder with its deltas once, so that a run does not fail later, or far from here."""
    try:
        with torch.no_grad(), evaluating(encoder):
            encoder(encoder.probe_batch())
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            Problem(
                f"tune.{method}",
                f"the model does not run with deltas around its layers: {error}",
                "layers that a delta can stand around",
                "Name others as `targets`, or tune by `top` or `full`.",
            )
        ) from error


def _check_rank(rank: int) -> None:
    if rank < 1:
        raise ValueError("rank is at least 1")


@dataclass(frozen=True)
class _Adapter(Tuning):
    """The source weights are frozen, a small delta and the head move."""

    learning_rate: float = 5e-3
    """Peak rate of the delta. Default: 5e-3."""

    head_learning_rate: float = 1e-3
    """Peak rate of the head. Default: 1e-3."""

    targets: tuple[str, ...] | str | None = None
    """Names of the modules that get a delta, or `all-linear`. Default: what `peft` proposes for
    the architecture, or `all-linear` for one that it does not know."""

    @property
    @abstractmethod
    def peft_type(self) -> str:
        """The method's name in `peft`."""

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The options of the method's `peft` configuration."""

    def prepare(self, network: Network, seed: int) -> None:
        """Put a delta into every encoder; at the start it changes nothing.

        Raises:
            RecipeError: If no encoder has linear layers.
            ModelError: If `peft` has no such method or will not put it there, or if the model does
                not run with it.
        """
        # Importing peft takes seconds that recipes without adapters should not pay.
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING, get_peft_model

        name = self.peft_type.upper()
        if not _places(network):
            raise RecipeError(
                Problem(
                    "tune",
                    f"{name.lower()} adds to a backbone's layers, and this model has none",
                    fix="Tune it by `full` or `frozen`, or take another model.",
                )
            )
        known: dict[str, Any] = {
            str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        }
        if name not in known:
            problem = Problem(
                "tune", f"peft has no method {self.peft_type!r}", fix=nearest(name, known)
            )
            raise ModelError(problem)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # peft sees by itself that GPT-2 stores its matrices transposed, and says so each time.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
            # And it asks transformers 5 for an attribute by its old name.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
            torch.manual_seed(seed)
            for place in _places(network):
                backbone = place.backbone
                try:
                    config = known[name](**self._targets(backbone), **self.options)
                    place.put(get_peft_model(backbone, config))
                    _show_convolutions(place.backbone)
                except (KeyError, TypeError, ValueError) as error:
                    raise ModelError(
                        Problem(f"tune.{name.lower()}", f"peft: {error}", fix=_SEE)
                    ) from error

        for encoder in network.encoders.values():
            assert isinstance(encoder, Encoder)
            _try(encoder, name.lower())

    def _targets(self, backbone: Any) -> dict[str, Any]:
        """The modules that get a delta, where `peft` is not left to choose them."""
        from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

        if self.targets is not None:
            named = list(self.targets) if isinstance(self.targets, tuple) else self.targets
            return {"target_modules": named}
        config = getattr(backbone, "config", None)
        if config is not None and config.model_type in KNOWN:
            return {}
        linear = [name for name, each in backbone.named_modules() if isinstance(each, nn.Linear)]
        if linear and config is not None:
            return {"target_modules": "all-linear"}
        # peft knows a delta of whole convolutions only.
        whole = [
            name
            for name, each in backbone.named_modules()
            if isinstance(each, nn.Conv2d) and each.groups == 1
        ]
        return {"target_modules": linear + whole}

    def export(self, network: Network, folder: Path) -> None:
        """The delta as an adapter folder that plain `peft` loads onto the source model."""
        places = _places(network)
        for place in places:
            within = folder / "adapter" if len(places) == 1 else folder / "adapter" / place.role
            place.backbone.save_pretrained(within)

    def finish(self, network: Network) -> None:
        """Add the delta to the source weights, theta_target = theta_source + delta."""
        for place in _places(network):
            place.put(place.backbone.merge_and_unload())

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """One stage: what `peft` left trainable, and the head."""
        trainable = {name for name, weight in network.named_parameters() if weight.requires_grad}
        delta = frozenset(trainable).intersection(frozenset().union(*layer_names(network)))
        head = head_group(network, self.head_learning_rate)
        return (Stage(self.peft_type.lower(), (Group(delta, self.learning_rate), head)),)


@dataclass(frozen=True)
class Lora(_Adapter):
    """A low-rank delta B A to linear layers (LoRA; Hu et al., 2021, arXiv:2106.09685)."""

    rank: int = 8
    """Rank of the delta. Default: 8."""

    alpha: float = 16.0
    """The delta is scaled by alpha / rank. Default: 16."""

    dropout: float = 0.0
    """Dropout on the delta's input. Default: 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rank(self.rank)
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout lies in [0, 1)")

    peft_type: ClassVar[str] = "LORA"

    @property
    def options(self) -> dict[str, Any]:
        """The options of `peft.LoraConfig`."""
        return {"r": self.rank, "lora_alpha": self.alpha, "lora_dropout": self.dropout}


@dataclass(frozen=True)
class Dora(Lora):
    """LoRA with magnitude and direction apart (DoRA; Liu et al., 2024, arXiv:2402.09353)."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of `peft.LoraConfig`."""
        return {**super().options, "use_dora": True}


@dataclass(frozen=True)
class Ia3(_Adapter):
    """Learned factors on keys, values and feed-forward (IA3).

    Liu et al. (2022, arXiv:2205.05638).
    """

    learning_rate: float = 5e-3
    """Peak rate of the factors. Default: 5e-3."""

    peft_type: ClassVar[str] = "IA3"
    options: ClassVar[dict[str, Any]] = {}

    def _targets(self, backbone: Any) -> dict[str, Any]:
        chosen = super()._targets(backbone)
        # Where modules are named, none of them is known to be a feed-forward layer.
        return {**chosen, "feedforward_modules": []} if chosen else {}


@dataclass(frozen=True)
class Vera(_Adapter):
    """Learned scales of shared random matrices (VeRA; Kopiczko et al., 2024, arXiv:2310.11454)."""

    rank: int = 256
    """Rank of the random matrices. Default: 256."""

    learning_rate: float = 5e-3
    """Peak rate of the scales. Default: 5e-3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rank(self.rank)

    peft_type: ClassVar[str] = "VERA"

    @property
    def options(self) -> dict[str, Any]:
        """The options of `peft.VeraConfig`."""
        return {"r": self.rank}


@dataclass(frozen=True)
class Peft(_Adapter):
    """Any other method of the `peft` library, by its name there."""

    method: str = "LORA"
    """The method's name in `peft`, for instance `loha`, `oft` or `fourierft`. Default: lora."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Options of the method's `peft` configuration. Default: its own defaults."""

    @property
    def peft_type(self) -> str:
        """The method's name in `peft`."""
        return self.method

    @property
    def options(self) -> dict[str, Any]:
        """The options of the method's `peft` configuration."""
        return dict(self.config)
