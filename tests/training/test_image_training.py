"""Training on pictures: the loop knows nothing of them, and BatchNorm does what was chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny_pictures import photo, tiny_encoder
from transfuse.balancing import Fixed
from transfuse.data.augment import Augmenting
from transfuse.data.augment_pictures import Flip
from transfuse.data.images import Pictures
from transfuse.models import Engine, LinearHead, Network, Store, read_inputs
from transfuse.models.images.batch_norm import measure, normalisers
from transfuse.objectives import StreamTask, Target
from transfuse.objectives.ada_bn import AdaBN
from transfuse.tasks import Classification
from transfuse.training import Callback, Job, StreamData, Training, fit
from transfuse.tuning import Frozen, Full, Scratch, Top

TASK = Classification(labels=("dark", "light"))
ROWS = 24


def shaded() -> Pictures:
    """Dark and light pictures in turn."""
    images = [
        photo(row).point(lambda each, row=row: each // 2 + 120 * (row % 2)) for row in range(ROWS)
    ]
    return Pictures.of([_png(image) for image in images])


def _png(image: Any) -> bytes:
    from tiny_pictures import encoded

    return encoded(image)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(tuning: Any, batch_norm: Any = "frozen", objectives: Any = (), **options: Any) -> Job:
        encoder = tiny_encoder("resnet", batch_norm=batch_norm)
        network = Network({"image": encoder}, {"target": LinearHead(encoder.dim, 2)}).eval()
        tuning.prepare(network, 0)
        data = StreamData(read_inputs(encoder, shaded()), np.arange(ROWS) % 2)
        task = StreamTask(TASK, "target")
        return Job(
            network=network,
            stages=tuning.stages(network),
            objectives=objectives or (Target(),),
            balancer=Fixed(),
            options=Training(**{"epochs": 2, "batch_size": 8} | options),
            streams={"target": data, "unlabelled": data},
            tasks={"target": task, "unlabelled": task},
            seed=0,
            engine=Engine(),
            encode_engine=Engine(),
            store=Store(tmp_path / "store"),
            fingerprint="a",
            validation=data,
            validation_task=task,
        )

    return make


def statistics(network: Network) -> list[torch.Tensor]:
    return [layer.running_mean.clone() for layer in normalisers(network)]


def test_frozen_statistics_are_those_of_pretraining(job):
    made = job(Full(learning_rate=1e-3))
    before = statistics(made.network)
    fit(made)
    assert all(map(torch.equal, before, statistics(made.network)))


def test_adapted_statistics_move_in_the_layers_that_train(job):
    made = job(Top(layers=1, learning_rate=1e-3), "adapted")
    before = statistics(made.network)
    fit(made)
    moved = [not torch.equal(a, b) for a, b in zip(before, statistics(made.network), strict=True)]
    top = sum(len(normalisers(part)) for part in made.network.encoder.layers()[-1])
    assert moved == [False] * (len(before) - top) + [True] * top


def test_recomputed_statistics_are_those_of_the_final_weights(job):
    made = job(Full(learning_rate=1e-3), "recomputed")
    fit(made)
    encoder = made.network.encoder
    found = statistics(made.network)
    rows = made.streams["target"].inputs.tokens
    # All rows fit in one batch, so the mean over batches is theirs.
    measure(encoder, normalisers(encoder), [encoder.collate(rows)], encoder)
    again = statistics(made.network)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, again, strict=True))


def test_over_a_frozen_encoder_nothing_is_recomputed(job):
    made = job(Frozen(), "recomputed")
    before = statistics(made.network)
    fit(made)
    assert all(map(torch.equal, before, statistics(made.network)))


def test_from_scratch_it_learns(job):
    made = job(Scratch(learning_rate=3e-3), epochs=16)
    fit(made)
    encoder = made.network.encoder
    with torch.no_grad():
        logits = made.network(encoder.collate(made.streams["target"].inputs.tokens)).logits
    answers = logits["target"].argmax(1).numpy()
    assert (answers == np.arange(ROWS) % 2).mean() > 0.9


def test_ada_bn_measures_the_unlabelled_rows(job):
    made = job(Full(learning_rate=1e-3), objectives=(Target(), AdaBN()))
    fit(made)
    encoder = made.network.encoder
    found = statistics(made.network)
    rows = made.streams["unlabelled"].inputs.tokens
    measure(encoder, normalisers(encoder), [encoder.collate(rows)], encoder)
    again = statistics(made.network)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, again, strict=True))


class _Watching(Callback):
    """Keeps weights and statistics of every evaluation."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.seen: list[tuple[torch.Tensor, list[torch.Tensor]]] = []

    def on_evaluation(self, step: int, scores: Any) -> None:
        weight = next(iter(self.network.parameters())).detach().clone()
        self.seen.append((weight, statistics(self.network)))


def test_chosen_weights_have_the_statistics_of_their_moment(job):
    made = job(Full(learning_rate=3e-3), "adapted", epochs=5, patience=4)
    watching = _Watching(made.network)
    fit(made, None, [watching])
    final = next(iter(made.network.parameters()))
    places = [
        place for place, (weight, _) in enumerate(watching.seen) if torch.equal(weight, final)
    ]
    assert places
    assert places[0] < len(watching.seen) - 1
    assert all(map(torch.equal, watching.seen[places[0]][1], statistics(made.network)))


def test_varied_copies_are_read_like_any_pictures(job):
    made = job(Full(learning_rate=1e-3), objectives=(Target(augmented=True),))
    encoder = made.network.encoder
    copies = Augmenting((Flip(1.0),), 2).vary(shaded(), 0)
    data = made.streams["target"]
    varied = StreamData(
        data.inputs, data.targets, variants=tuple(read_inputs(encoder, copy) for copy in copies)
    )
    object.__setattr__(made, "streams", {**made.streams, "target": varied})
    fitted = fit(made)
    assert np.isfinite([each.loss for each in fitted.history if hasattr(each, "loss")]).all()
