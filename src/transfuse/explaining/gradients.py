"""Integrated gradients: what each word's vector adds on the way from no word to the word.

Sundararajan et al. (2017, arXiv:1703.01365). With F the score, x the vectors of the tokens and x'
those of a text of mask tokens, the weight of token t is

    (x_t - x'_t) . integral over a from 0 to 1 of dF / dx_t at x' + a (x - x')

The weights sum to F(x) - F(x') but for the error of the sum that stands for the integral.
"""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transfuse.answering import ModelFolder
from transfuse.answering.reading import mended_texts
from transfuse.errors import ModelError, Problem
from transfuse.explaining.deadline import Deadline
from transfuse.explaining.explanation import Explanation, TokenWeight, relative_gap
from transfuse.explaining.offsets import origins
from transfuse.explaining.words import words
from transfuse.models import Network
from transfuse.models.network import Outputs
from transfuse.models.static import StaticBag
from transfuse.models.tokens import padding_id

__all__ = ["integrate"]

_TOKENS = 4096
"""Tokens that are sent through the network at a time."""

_DOUBLINGS = 5


@dataclass(frozen=True)
class _Row:
    """A text as the network reads it."""

    ids: torch.Tensor
    """[1, T]."""

    bare: torch.Tensor
    """The ids of the same text without its words, [1, T]."""

    spans: list[tuple[int, int]]
    """The characters of each token in the text as it was given; empty for special tokens."""


def integrate(
    model: ModelFolder,
    text: str,
    label: int | None,
    steps: int,
    tolerance: float,
    deadline: Deadline | None = None,
) -> Explanation:
    """Explain one text by integrated gradients.

    Args:
        model: A network.
        text: The text.
        label: The label's number; None for the most probable.
        steps: Points of the integral to begin with (Gauss-Legendre); they are doubled, at most
            five times, until the gap is within the tolerance.
        tolerance: The gap that is tolerated.
        deadline: When to give up. Default: never.

    Returns:
        The explanation.

    Raises:
        ModelError: If the model is no network, captum is not installed, or the time is over.
    """
    # Also where a caller has turned gradients off.
    with torch.inference_mode(False), torch.enable_grad():
        network = _network(model)
        layer = _embedding(network)
        row = _read(network, text, mended_texts(model, [text])[0])
        values, bare = layer(row.ids).detach(), layer(row.bare).detach()

        def logits(vectors: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            return _logits(network, layer, model.head, vectors, ids)

        both = logits(torch.cat([values, bare]), row.ids.expand(2, -1)).detach()
        chosen = int(both[0].argmax()) if label is None else label

        def score(vectors: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            if deadline is not None:
                deadline.check()
            return _score(model, logits(vectors, ids), chosen)

        full, without = _score(model, both, chosen).tolist()
        weights, gap, points = _integral(
            score, values, bare, row.ids, full - without, steps, tolerance
        )
    note = "" if gap <= tolerance else f"The integral did not close with {points:,} points."
    return Explanation(
        text=text,
        label=model.task.label_names[chosen],
        method="integrated_gradients",
        score=full,
        baseline=without,
        tokens=_by_word(text, row.spans, weights),
        gap=gap,
        probability=None if model.task.kind == "regression" else (1 + math.tanh(full / 2)) / 2,
        steps=points,
        note=note,
    )


def _integral(
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    values: torch.Tensor,
    bare: torch.Tensor,
    ids: torch.Tensor,
    difference: float,
    steps: int,
    tolerance: float,
) -> tuple[list[float], float, int]:
    """The weight of each token, the gap and the points that it took."""
    method = _captum()(score, multiply_by_inputs=True)
    for doubling in range(_DOUBLINGS + 1):
        points = steps << doubling
        shares = method.attribute(
            values,
            baselines=bare,
            additional_forward_args=(ids,),
            n_steps=points,
            method="gausslegendre",
            internal_batch_size=max(1, _TOKENS // ids.shape[1]),
        )
        weights: list[float] = shares.detach().sum(-1)[0].double().tolist()
        gap = relative_gap(weights, difference)
        if gap <= tolerance:
            break
    return weights, gap, points


def _captum() -> Any:
    """Captum's class, which only this needs."""
    try:
        from captum.attr import IntegratedGradients
    except ModuleNotFoundError:
        raise ModelError(
            Problem(
                "integrated_gradients",
                "captum is not installed",
                fix="Install it with `pip install 'transfuse[explain]'`, or use occlusion.",
            )
        ) from None
    return IntegratedGradients


def _network(model: ModelFolder) -> Network:
    """A copy of the model's network; it shares the weights, and the original may be at work."""
    if not isinstance(model.model, Network) or len(model.model.encoders) != 1:
        raise ModelError(
            Problem(
                str(model.path),
                "is not a network with one text encoder, so it has no gradients",
                "a network",
                "Use the method occlusion, which works for every model.",
            )
        )
    return model.model.copied_as(torch.float32)


def _embedding(network: Network) -> nn.Module:
    """The layer that turns ids into vectors."""
    backbone: Any = network.encoder.backbone
    layer = backbone.embedding if isinstance(backbone, StaticBag) else None
    found: nn.Module = backbone.get_input_embeddings() if layer is None else layer
    return found


def _logits(
    network: Network, layer: nn.Module, head: str, vectors: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """Logits [n, outputs] for given vectors of the tokens; one text has no padding."""
    handle = layer.register_forward_hook(lambda _layer, _ids, _vectors: vectors)
    try:
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        outputs: Outputs = network(batch, 0, [head])
        return outputs.logits[head]
    finally:
        handle.remove()


def _score(model: ModelFolder, logits: torch.Tensor, chosen: int) -> torch.Tensor:
    """The label's calibrated log-odds, or the predicted number, [n]."""
    match model.task.kind:
        case "classification":
            scaled = logits / model.temperature
            others = torch.arange(scaled.shape[1], device=scaled.device) != chosen
            return scaled[:, chosen] - scaled[:, others].logsumexp(-1)
        case "multilabel":
            return logits[:, chosen]
    return model.task.scores(logits)[:, chosen]


def _read(network: Network, text: str, mended: str) -> _Row:
    encoder: Any = network.encoder
    ids = torch.from_numpy(encoder.preprocess([mended])[0].astype("int64"))[None]
    # `preprocess` has left the tokenizer with the encoder's own cut.
    found = encoder.tokenizer.backend_tokenizer.encode(mended)
    if found.ids != ids[0].tolist():
        # A text without tokens is read as a filler, which is no word of it.
        return _Row(ids, ids, [(0, 0)] * ids.shape[1])
    special = torch.tensor(found.special_tokens_mask, dtype=torch.bool)[None]
    tokenizer = encoder.tokenizer
    nothing = tokenizer.mask_token_id
    if nothing is None or isinstance(encoder.backbone, StaticBag):
        # The padding vector of a static encoder is 0.
        nothing = padding_id(tokenizer)
    places = [*origins(text, mended), len(text)]
    spans = [
        (0, 0) if first >= last else (places[first], places[last - 1] + 1)
        for first, last in found.offsets
    ]
    return _Row(ids, torch.where(special, ids, nothing), spans)


def _by_word(
    text: str, spans: list[tuple[int, int]], weights: list[float]
) -> tuple[TokenWeight, ...]:
    """The weights of tokens summed by the words that they stand in; none is lost.

    A token goes to the word that it shares most characters with, or to the next one after it.
    """
    parts = words(text)
    if not parts:
        return ()
    sums = [0.0] * len(parts)
    starts = [start for start, _ in parts]
    for (first, last), weight in zip(spans, weights, strict=True):
        near = bisect.bisect_right(starts, first) - 1
        window = range(max(0, near), min(len(parts), near + 3))
        shared = {at: min(last, parts[at][1]) - max(first, parts[at][0]) for at in window}
        best = max(shared, key=lambda at: (shared[at], -at))
        sums[best] += weight
    return tuple(
        TokenWeight(text[start:end], start, end, weight)
        for (start, end), weight in zip(parts, sums, strict=True)
    )
