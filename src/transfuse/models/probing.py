"""Times ways to do a model's arithmetic on a small model with random weights."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import BertConfig, BertModel

from transfuse.models.copies import copied_as
from transfuse.models.source import seeded

if TYPE_CHECKING:
    from transfuse.models.engine import Engine

__all__ = ["measure"]

_BUDGET = 1.0
"""Seconds of taking turns; each candidate gets at least one."""
_HOPELESS = 4.0
_MARGIN = 1.1
_AGREES = 0.999
_ROWS, _LENGTH = 32, 32


def measure(candidates: Sequence["Engine"], *, training: bool, threads: int) -> "Engine":
    """Times candidates and names the fastest that gives the same answer as the first.

    Candidates take turns, and the best time of each counts, so that what else the machine does
    meanwhile falls on all alike.

    Args:
        candidates: Engines; the first is the plain one.
        training: Whether a forward and a backward pass are timed, or a forward pass alone.
        threads: Number of torch threads.

    Returns:
        The fastest, with its measured `speedup`; the first unless another is a tenth faster.
    """
    with seeded(0), _threads(threads):
        plain = _small_model()
        ids = torch.randint(5, plain.config.vocab_size, (_ROWS, _LENGTH))
        subjects = [_Subject(engine, plain, training) for engine in candidates]
        expected = subjects[0].run(ids)
        # One row first: on a chip without 16-bit arithmetic a full batch would take seconds.
        short = [min(subject.seconds(ids[:1]) for _ in range(2)) for subject in subjects]
        fit = [
            subject
            for subject, seconds in zip(subjects, short, strict=True)
            if seconds < _HOPELESS * short[0] and _agree(expected, subject.run(ids))
        ]
        best = dict.fromkeys(fit, float("inf"))
        end = time.perf_counter() + _BUDGET
        while time.perf_counter() < end:
            for subject in fit:
                best[subject] = min(best[subject], subject.seconds(ids))
    speeds = {subject: best[fit[0]] / seconds for subject, seconds in best.items()}
    fastest = max(speeds, key=lambda subject: speeds[subject])
    if speeds[fastest] < _MARGIN:
        return candidates[0]
    return replace(fastest.engine, speedup=round(speeds[fastest], 2))


class _Subject:
    """A model in the arithmetic of one engine."""

    def __init__(self, engine: "Engine", plain: BertModel, training: bool) -> None:
        self.engine = engine
        self.training = training
        # Training keeps the weights in 32 bits and casts the operands.
        self.model = copied_as(plain, plain.dtype if training else engine.dtype)
        self.model.requires_grad_(training)
        self.model.set_attn_implementation(engine.attention)

    def run(self, ids: torch.Tensor) -> torch.Tensor:
        with self.engine.apply(), torch.set_grad_enabled(self.training):
            hidden: torch.Tensor = self.model(input_ids=ids).last_hidden_state.float()
            if self.training:
                self.model.zero_grad()
                hidden.square().mean().backward()
        return hidden.detach().mean(dim=1)

    def seconds(self, ids: torch.Tensor) -> float:
        start = time.perf_counter()
        self.run(ids)
        return time.perf_counter() - start


def _small_model() -> BertModel:
    config = BertConfig(
        vocab_size=1_000,
        hidden_size=384,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=1536,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertModel(config, add_pooling_layer=False)
    model.eval()
    return model


def _agree(expected: torch.Tensor, got: torch.Tensor) -> bool:
    worst = nn.functional.cosine_similarity(expected, got).min()
    return bool(worst >= _AGREES)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
