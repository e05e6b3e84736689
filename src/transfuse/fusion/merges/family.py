"""Models of one ancestor: what they share, how far each has moved, and what stands in the way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from transfuse.answering import ModelFolder
from transfuse.answering.members import names_of
from transfuse.errors import ModelError, Problem
from transfuse.fusion.merges.heads import union_of
from transfuse.models import Encoder, LinearHead, Network, find_model, keep_layers, open_alike
from transfuse.models.students import Take
from transfuse.tasks import Task

__all__ = ["Family", "Weights", "backbone_of", "network_of", "parameters_of", "relate"]

Weights = dict[str, torch.Tensor]
"""Tensors of a backbone by name, float32; tied weights appear once."""

# Settings that change what the same weights compute; shapes do not show them.
_COMPUTED = (
    *("model_type", "num_attention_heads", "num_key_value_heads", "n_head", "n_heads"),
    *("hidden_act", "activation", "activation_function", "position_embedding_type"),
    *("layer_norm_eps", "rms_norm_eps", "rope_theta", "global_rope_theta"),
    *("num_heads", "patch_size", "window_size", "batch_norm_eps", "downsample_in_bottleneck"),
)

_UNRELATED = 1.0
"""Distance over the ancestor's length; √2 for weights of the same size that share nothing."""


@dataclass(frozen=True, eq=False)
class Family:
    """Trained models of one architecture and one ancestor.

    Args:
        members: The models, as they were given.
        networks: The network of each.
        source: The ancestor's name.
        task: What all of them together answer.
        base: The ancestor's weights; of what it lacks, the mean of the members.
        buffers: The ancestor's buffers.
        fresh: Names of what the ancestor lacks, such as a pooler that was drawn anew.
    """

    members: tuple[ModelFolder, ...]
    networks: tuple[Network, ...]
    source: str
    task: Task
    base: Weights
    buffers: Weights
    fresh: tuple[str, ...]

    @cached_property
    def weights(self) -> tuple[Weights, ...]:
        """The weights of each member, sharing its memory."""
        return tuple(
            {name: value.detach() for name, value in parameters_of(network).items()}
            for network in self.networks
        )

    @cached_property
    def deltas(self) -> tuple[Weights, ...]:
        """What each member has learnt: its weights minus the ancestor's."""
        return tuple(
            {name: value - self.base[name] for name, value in weights.items()}
            for weights in self.weights
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each member is called: its recipe's name, each once."""
        return names_of(self.members)

    @property
    def encoder(self) -> Encoder:
        """The first member's encoder: its preprocessing and its layers are everybody's."""
        return self.networks[0].encoder

    @cached_property
    def distances(self) -> dict[str, float]:
        """How far each member has moved, over the ancestor's length."""
        length = _length(self.base)
        return {
            name: _length(delta) / max(length, 1e-30)
            for name, delta in zip(self.names, self.deltas, strict=True)
        }


def relate(models: Sequence[ModelFolder], base: str | None) -> Family:
    """Open the common ancestor of some models and check that they go together.

    Args:
        models: The models: networks with one backbone and one head.
        base: The ancestor: a folder, an installed package or a hub id. None: the one that the
            models' recipes name.

    Raises:
        ModelError: With everything that stands in the way: another kind of model, architecture,
            reading, ancestor or task, or weights that have nothing in common with the ancestor.
    """
    networks = tuple(network_of(model) for model in models)
    task = union_of(models)
    told = _Ancestor(base) if base is not None else _named(models)
    source = told.name
    ancestor = _opened(told, networks[0].encoder)
    problems = []
    for model, network in zip(models, networks, strict=True):
        problems += _differences(str(model.path), network.encoder, ancestor, source)
    first = parameters_of(networks[0])
    for model, network in zip(models[1:], networks[1:], strict=True):
        ours, theirs = network.encoder.pooling_used, networks[0].encoder.pooling_used
        if ours != theirs:
            what = f"pools by {ours}, not {theirs}"
            problems.append(Problem(str(model.path), what, f"one pooling, as {models[0].path}"))
        found = _unlike(parameters_of(network), first)
        if found:
            problems.append(Problem(str(model.path), found, f"the weights of {models[0].path}"))
    if problems:
        raise ModelError(problems)
    known = dict(backbone_of(ancestor).named_parameters())
    fresh = tuple(name for name in first if name not in known)
    weights: Weights = {}
    for name in first:
        if name in known:
            weights[name] = known[name].detach()
        else:
            parts = [parameters_of(network)[name].detach() for network in networks]
            weights[name] = torch.stack(parts).mean(0)
    buffers = dict(backbone_of(ancestor).named_buffers())
    family = Family(tuple(models), networks, source, task, weights, buffers, fresh)
    _check_distances(family)
    return family


def network_of(model: ModelFolder) -> Network:
    """The network of a model that can be merged.

    Args:
        model: The model.

    Raises:
        ModelError: If it is not one backbone with one head.
    """
    network = model.model
    what = type(network).__name__
    if isinstance(network, Network):
        plain = len(network.encoders) == 1 and len(network.encoder.adaptable()) == 1
        if plain and len(network.heads) == 1 and not list(network.fusion.parameters()):
            return network
        what = f"{len(network.heads)} heads on " + ", ".join(
            type(encoder).__name__ for encoder in network.encoders.values()
        )
    raise ModelError(
        Problem(
            str(model.path),
            f"holds {what}",
            "one pretrained backbone with one head, whose weights can be merged",
            "Fuse answers instead, for instance `average`.",
        )
    )


def backbone_of(encoder: Encoder) -> Any:
    """The only backbone of an encoder, whatever it reads.

    Args:
        encoder: An encoder of a network that `network_of` let through.
    """
    (place,) = encoder.adaptable()
    return place.backbone


def parameters_of(network: Network) -> dict[str, nn.Parameter]:
    """The backbone's parameters by name; tied ones appear once."""
    return dict(backbone_of(network.encoder).named_parameters())


@dataclass(frozen=True)
class _Ancestor:
    """What a recipe says of the pretrained model that it begins from."""

    name: str
    layers: int | None = None
    take: Take = "spread"

    @property
    def found(self) -> tuple[str, int | None, str]:
        """Equal for the same model, however it is named."""
        return str(find_model(self.name)), self.layers, self.take


def _named(models: Sequence[ModelFolder]) -> _Ancestor:
    """The pretrained model that all recipes name."""
    sources = []
    for model in models:
        choice = model.recipe.get("model")
        given = choice.get("pretrained") if isinstance(choice, Mapping) else None
        if not isinstance(given, Mapping) or "name" not in given:
            raise ModelError(
                Problem(
                    str(model.path),
                    "its recipe names no pretrained model",
                    "models that were trained from one pretrained model",
                    "Name that model with the option `base`.",
                )
            )
        known = {name: given[name] for name in ("name", "layers", "take") if name in given}
        sources.append(_Ancestor(**known))
    first = sources[0]
    for model, source in zip(models, sources, strict=True):
        if source.found != first.found:
            raise ModelError(
                Problem(
                    str(model.path),
                    f"was trained from {source.name!r}, {models[0].path} from {first.name!r}",
                    "one ancestor",
                    "Fuse their answers instead, or name the ancestor with the option `base`.",
                )
            )
    return first


def _opened(source: _Ancestor, like: Encoder) -> Encoder:
    """The ancestor as the members were opened."""
    encoder = open_alike(source.name, like)
    if source.layers is None:
        return encoder
    network = Network({"column": encoder}, {"target": LinearHead(encoder.dim, 1)})
    return keep_layers(network, source.layers, source.take).encoder


def _differences(where: str, encoder: Encoder, ancestor: Encoder, source: str) -> list[Problem]:
    """What keeps a member from being a descendant of the ancestor."""
    expected = f"what {source!r} has"
    own, former = backbone_of(encoder), backbone_of(ancestor)
    if type(own) is not type(former) or encoder.depth != ancestor.depth:
        both = ((own, encoder), (former, ancestor))
        kinds = [f"{type(backbone).__name__} of {one.depth}" for backbone, one in both]
        return [Problem(where, f"is {kinds[0]} layers", f"{kinds[1]} layers, as {source!r}")]
    problems = [
        Problem(where, f"{name} is {ours!r}, not {theirs!r}", expected)
        for name in _COMPUTED
        if (ours := getattr(own.config, name, None))
        != (theirs := getattr(former.config, name, None))
    ]
    if encoder.preprocessing != ancestor.preprocessing:
        what = "makes rows ready with another tokenizer or length, another size or normalisation"
        problems.append(Problem(where, what, expected))
    theirs = dict(former.named_parameters())
    ours = dict(own.named_parameters())
    shared = {name: value for name, value in theirs.items() if name in ours}
    found = _unlike({name: ours[name] for name in shared}, shared)
    return [*problems, Problem(where, found, expected)] if found else problems


def _unlike(ours: dict[str, nn.Parameter], theirs: dict[str, nn.Parameter]) -> str:
    """The first difference of names or shapes, or nothing."""
    odd = sorted(set(ours) ^ set(theirs))
    if odd:
        return f"{len(odd)} weights are not in both, first {odd[0]!r}"
    for name, value in ours.items():
        if value.shape != theirs[name].shape:
            return f"{name!r} has shape {tuple(value.shape)}, not {tuple(theirs[name].shape)}"
    return ""


def _check_distances(family: Family) -> None:
    far = [
        Problem(
            str(member.path),
            f"its weights are {distance:.2f} of the ancestor's length away from it",
            f"a model that was tuned from {family.source!r}",
            "Fuse their answers instead, or name the ancestor with the option `base`.",
        )
        for member, distance in zip(family.members, family.distances.values(), strict=True)
        if not distance < _UNRELATED
    ]
    if far:
        raise ModelError(far)


def _length(weights: Weights) -> float:
    squares = sum(float(value.double().square().sum()) for value in weights.values())
    return math.sqrt(squares)
