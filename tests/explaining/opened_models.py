"""Opened model folders around tiny encoders, and one of words alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from transfuse.answering import ModelFolder
from transfuse.answering.base import Kept
from transfuse.evaluation import Scorecard
from transfuse.models import (
    Encoder,
    Engine,
    Inference,
    LinearHead,
    Network,
    StaticEncoder,
    load_classifier,
    load_encoder,
)
from transfuse.models.static import StaticBag
from transfuse.models.tokens import padding_id
from transfuse.tasks import Classification, Task

LABELS = ("bad", "good", "neutral")


def opened(model: Kept, task: Task | None = None, temperature: float = 1.0) -> ModelFolder:
    """A model as `load_model` would give it."""
    return ModelFolder(
        path=Path("no-folder"),
        model=model,
        task=task or Classification(labels=LABELS),
        head="target",
        temperature=temperature,
        scorecard=Scorecard({"accuracy": 1.0}),
        recipe={},
        training_keys=frozenset(),
        inference=Inference(model, Engine()) if isinstance(model, Network) else None,
    )


def tiny_network(tiny: Callable[..., Path], kind: str, outputs: int = 3) -> Network:
    """A network whose answers depend on the words; `static` is a bag of vectors."""
    if kind.endswith(" own head"):
        folder = tiny(kind.removesuffix(" own head"), head=True)
        return load_classifier(folder, LABELS[:outputs], task="target", pooling="native")
    encoder: Encoder
    if kind == "static":
        tokenizer = AutoTokenizer.from_pretrained(tiny("bert"))
        bag = StaticBag(300, 16, padding_id(tokenizer))
        bag.reset(0)
        encoder = StaticEncoder(bag, tokenizer)
    else:
        encoder = load_encoder(tiny(kind), max_length=32)
    head = LinearHead(encoder.dim, outputs, seed=1)
    with torch.no_grad():
        head.classifier.weight.mul_(20 if kind == "static" else 5)
    return Network.for_text(encoder, {"target": head})


def linear(texts: Sequence[str], weights: dict[str, float]) -> np.ndarray:
    """Probabilities of two labels, whose log-odds are the sum of the weights of the words."""
    odds = np.array([sum(weights.get(word, 0.0) for word in text.split()) for text in texts])
    share = 1 / (1 + np.exp(-odds))
    return np.stack([1 - share, share], axis=1)
