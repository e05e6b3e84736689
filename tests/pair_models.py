"""A tiny network with towers, and coloured pictures with the words for their colours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from joined_models import joined, picture
from transfuse.balancing import Fixed
from transfuse.data import Records
from transfuse.models import Engine, Inference, Network, PairHead, Store, read_inputs
from transfuse.models.columns import Towers
from transfuse.models.feed import Feeds
from transfuse.objectives import OBJECTIVES, StreamTask
from transfuse.recipe import build
from transfuse.tasks import Matching
from transfuse.training import Job, StreamData, Training
from transfuse.tuning import TUNINGS

COLOURS = {
    "a good film": (255, 0, 0),
    "bad": (0, 255, 0),
    "the book": (0, 0, 255),
    "very fine": (255, 255, 0),
    "poor and so": (0, 255, 255),
    "that was it": (255, 0, 255),
    "this film": (255, 255, 255),
    "but not": (0, 0, 0),
}

Tiny = Callable[..., Path]


def pair_network(tiny: Tiny, *columns: str, **options: Any) -> Network:
    """Towers over tiny encoders of text and pictures."""
    encoder = joined(tiny, *(columns or ("text", "image")))
    towers = Towers(**({"width": 16, "dropout": 0.0} | options)).build(encoder.columns, seed=1)
    return Network({"columns": encoder}, {"target": PairHead(towers.dim)}, towers).eval()


def pairs(times: int = 2) -> tuple[Records, np.ndarray]:
    """Every picture with its words, several times over, and the items' numbers."""
    rows = [(text, picture(*colour)) for text, colour in COLOURS.items()] * times
    records = Records({"text": [text for text, _ in rows], "image": [shown for _, shown in rows]})
    return records, np.tile(np.arange(len(COLOURS)), times)


def pair_job(network: Network, store: Path, learn: Any, tune: Any = "frozen", **more: Any) -> Job:
    """A job that learns which words belong to which colour."""
    tuning = build(TUNINGS, tune, "tune")
    tuning.prepare(network, 1)
    records, items = pairs()
    inputs = read_inputs(network.encoder, records)
    return Job(
        network=network,
        stages=tuning.stages(network),
        objectives=(build(OBJECTIVES, learn, "learn"),),
        balancer=Fixed(),
        options=Training(
            **({"epochs": 30, "batch_size": 16, "checkpoint_seconds": 1e9, "warmup": 0.0} | more)
        ),
        streams={"target": StreamData(inputs, items)},
        tasks={"target": StreamTask(Matching(), "target")},
        seed=3,
        engine=Engine(),
        encode_engine=Engine(),
        store=Store(store),
        fingerprint="pairs",
    )


def vectors(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """The network's vectors of one pair of each item, and the items."""
    records, items = pairs(1)
    feed = Feeds(network).feed(read_inputs(network.encoder, records))
    return Inference(network).logits(feed, "target").numpy(), items
