"""A network whose weights are mixed anew for every text: one model, deltas to others, a router.

The weights for text x are θ(x) = Σ_t g_t(x) θ_t with shares that sum to 1, which is
θ_1 + Σ_{t>1} g_t(x) (θ_t - θ_1): of T models one is kept whole and the others as deltas to it. The
mixed weights are never built: a linear layer gives x W_1ᵀ + Σ_t g_t (x Δ_tᵀ), so that texts of one
batch can have weights of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from transfuse.answering.base import Answerer, Open
from transfuse.data import Preprocessed, evaluation_batches
from transfuse.models import (
    Batch,
    Engine,
    Network,
    TextEncoder,
    load_network,
    probe_engine,
    save_network,
)

__all__ = ["DynamicModel", "mixable_names"]

_NETWORK = "network"
_DELTAS = "deltas.safetensors"
_ROUTER = "router.safetensors"
_BATCH_TOKENS = 2048

# A share below this one is left out and the others take its place: most texts need one delta.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class DynamicModel(Answerer):
    """A network whose weights are mixed anew for every text.

    Args:
        network: The first model, with a head of all labels.
        deltas: What each further model adds to weights of the network, by their names there.
        router: Weights of the router on a text's mean token vector, [models, d], and bias,
            [models].
        engine: The arithmetic that it answers with. Default: what the probe finds fastest here.
    """

    network: Network
    deltas: tuple[Mapping[str, torch.Tensor], ...]
    router: tuple[torch.Tensor, torch.Tensor]
    engine: Engine | None = None

    @property
    def parameters(self) -> int:
        """The numbers of the network, of all deltas and of the router."""
        kept = [*self.network.parameters(), *self.router]
        kept += [value for delta in self.deltas for value in delta.values()]
        return sum(value.numel() for value in kept)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Answerer.scores`."""
        logits = self.logits(texts)
        (head,) = self.network.heads.values()
        match head.problem_type:
            case "regression":
                found = logits
            case "multi_label_classification":
                found = logits.sigmoid()
            case _:
                found = logits.softmax(-1)
        return found.double().numpy()

    @cached_property
    def _ready(self) -> "tuple[Engine, DynamicModel]":
        """The arithmetic, and the model in its number type."""
        engine = self.engine or probe_engine()
        network = self.network.copied_as(engine.dtype)
        types = {name: value.dtype for name, value in network.named_parameters()}
        deltas = tuple(
            {name: value.to(types[name]) for name, value in delta.items()} for delta in self.deltas
        )
        return engine, DynamicModel(network, deltas, self.router, engine)

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Logits of texts, [n, outputs]."""
        engine, ready = self._ready
        rows = self.network.encoder.preprocess(texts)
        gates = self.gates_of(rows)
        (head,) = self.network.heads.values()
        found = torch.empty(len(rows), int(head.outputs))  # type: ignore[arg-type]
        chosen = gates.argmax(1).numpy()
        with torch.inference_mode(), engine.apply(ready.network):
            for model in np.unique(chosen):
                # Texts of one model together: those of others are then mostly left out.
                own = np.flatnonzero(chosen == model)
                for some in evaluation_batches(rows.lengths[own], _BATCH_TOKENS):
                    places = own[some]
                    batch = self.network.encoder.collate(rows.take(places))
                    with ready.mixing(gates[places]):
                        (given,) = ready.network(batch).logits.values()
                    found[places] = given.float()
        return found

    def gates(self, texts: Sequence[str]) -> torch.Tensor:
        """What each model counts for each text, [n, models]; rows sum to 1."""
        return self.gates_of(self.network.encoder.preprocess(texts))

    def gates_of(self, rows: Preprocessed) -> torch.Tensor:
        """The same for preprocessed texts."""
        weight, bias = self.router
        gates = (self.vectors(rows) @ weight.T + bias).softmax(1)
        gates = torch.where(gates < _LEAST_SHARE, 0.0, gates)
        return gates / gates.sum(1, keepdim=True)

    def vectors(self, rows: Preprocessed) -> torch.Tensor:
        """The mean token vector of each text, which the router reads, [n, d]."""
        encoder = self.network.encoder
        assert isinstance(encoder, TextEncoder)
        backbone: Any = encoder.backbone
        words: nn.Embedding = backbone.get_input_embeddings()
        found = torch.empty(len(rows), words.embedding_dim)
        with torch.inference_mode():
            for some in evaluation_batches(rows.lengths, _BATCH_TOKENS):
                batch = encoder.collate(rows.take(some))
                mask = batch["attention_mask"][..., None]
                vectors = functional.embedding(batch["input_ids"], words.weight) * mask
                found[some] = vectors.sum(1) / mask.sum(1).clamp(min=1)
        return found

    @contextmanager
    def mixing(self, gates: torch.Tensor) -> Iterator[None]:
        """Inside, each row of a batch meets weights of its own.

        Args:
            gates: What each model counts for each row, [n, models].

        Yields:
            Nothing.
        """
        active = [
            (gates[:, number], delta)
            for number, delta in enumerate(self.deltas, start=1)
            if bool(gates[:, number].any())
        ]
        handles = []
        for name, module in self.network.named_modules() if active else ():
            parts = [
                (gate.to(weight.dtype), weight, delta.get(f"{name}.bias"))
                for gate, delta in active
                if (weight := delta.get(f"{name}.weight")) is not None
            ]
            if parts:
                handles.append(module.register_forward_hook(_adding(parts)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def save(self, folder: Path) -> None:
        """Write the model into a folder: the network in one of its own, deltas and router."""
        save_network(self.network, folder / _NETWORK)
        kept = {
            f"{number}:{name}": value.contiguous()
            for number, delta in enumerate(self.deltas)
            for name, value in delta.items()
        }
        save_file(kept, folder / _DELTAS)
        weight, bias = self.router
        save_file({"weight": weight.contiguous(), "bias": bias.contiguous()}, folder / _ROUTER)

    @classmethod
    def load(cls, folder: Path, open_member: Open) -> Self:
        """See `Answerer.load`."""
        router = load_file(folder / _ROUTER)
        deltas: list[dict[str, torch.Tensor]] = [{} for _ in router["bias"][1:]]
        for key, value in load_file(folder / _DELTAS).items():
            number, _, name = key.partition(":")
            deltas[int(number)][name] = value
        network = load_network(folder / _NETWORK)
        return cls(network, tuple(deltas), (router["weight"], router["bias"]))


def mixable_names(network: Network) -> list[str]:
    """Parameters that can be mixed row by row, found by looking at the network run.

    These are weights and biases of linear layers, embeddings and layer norms that are called on
    rows of the batch.

    Args:
        network: One text encoder and one head.

    Returns:
        Their names in the network.
    """
    batch = _odd_batch(network)
    rows = len(batch["input_ids"])
    seen: dict[str, bool] = {}

    def watch(name: str) -> Any:
        def look(module: nn.Module, _args: Any, output: torch.Tensor) -> None:
            first = output.shape[0] == rows or (
                isinstance(module, nn.Embedding) and output.shape[0] == 1 and output.dim() == 3
            )
            seen[name] = seen.get(name, True) and first

        return look

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in network.named_modules()
        if type(module) in (nn.Linear, nn.Embedding, nn.LayerNorm)
    ]
    try:
        with torch.inference_mode():
            network(batch)
    finally:
        for handle in handles:
            handle.remove()
    known = dict(network.named_parameters())
    found = [f"{name}.{part}" for name, good in seen.items() if good for part in ("weight", "bias")]
    return [name for name in found if name in known]


def _odd_batch(network: Network) -> Batch:
    """A batch with more rows than anything else in it counts."""
    batch = network.encoder.probe_batch()
    times = 1 + 97 // len(batch["input_ids"])
    return {name: value.repeat(times, 1) for name, value in batch.items()}


def _adding(parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]) -> Any:
    """A hook that adds to a layer's output what the deltas give, each row by its gates."""

    def add(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> Any:
        given = args[0]
        if isinstance(module, nn.LayerNorm):
            given = functional.layer_norm(given, module.normalized_shape, eps=module.eps)
        for gate, weight, bias in parts:
            if isinstance(module, nn.Embedding):
                found = functional.embedding(given, weight)
            elif isinstance(module, nn.LayerNorm):
                found = given * weight if bias is None else given * weight + bias
            else:
                found = functional.linear(given, weight, bias)
            output = output + gate.reshape(-1, *[1] * (found.dim() - 1)) * found
        return output

    return add
