"""The streams of one stage: which rows come next, and the batches that are made of them.

A view of a stream shows the rows that the step draws for the stream itself; see
`transfuse.objectives.base` for how streams are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfuse.data import Batching, Episodes, EpisodeStream, Stream, evaluation_batches
from transfuse.models import Batch, Encoder, Feed, Feeds
from transfuse.objectives import Objective, rows_of
from transfuse.training.job import Job, StreamData
from transfuse.training.step import TrainModule

__all__ = ["Streams", "batch_of", "finish_objectives", "rows_per_step"]

_WHOLE_TOKENS = 4096

Rows = NDArray[np.int64]


def rows_per_step(job: Job, stream: str) -> int:
    """Rows that one process draws for a stream in a step.

    Args:
        job: The job.
        stream: The name of the rows, without a view.
    """
    sizes = {name: len(data.inputs) for name, data in job.streams.items()}
    shares = [
        objective.share_of(stream, sizes)
        for objective in job.objectives
        if stream in {rows_of(name) for name in objective.streams}
    ]
    return max(1, round(job.options.batch_size * max(shares)))


def batch_of(feed: Feed, data: StreamData, rows: Rows | slice, device: torch.device) -> Batch:
    """A batch of a feed's rows with all that is known of them.

    Args:
        feed: The feed.
        data: The stream that the feed is of.
        rows: Row numbers, int64 [n], or a slice.
        device: Where the batch is needed.
    """
    numbers = np.arange(len(data.inputs))[rows] if isinstance(rows, slice) else rows
    batch = feed.batch(rows)
    batch["rows"] = torch.from_numpy(numbers)
    if data.targets is not None:
        batch["targets"] = torch.from_numpy(data.targets[numbers])
    if data.weights is not None:
        batch["weights"] = torch.from_numpy(data.weights[numbers])
    for name, answers in data.answers.items():
        batch[name] = answers.batch(numbers)
    return {name: tensor.to(device) for name, tensor in batch.items()}


def finish_objectives(job: Job, module: TrainModule, device: torch.device) -> None:
    """Let objectives do what they have left to do to the network.

    Args:
        job: The job, whose last step is done.
        module: The network and its objectives.
        device: Where batches are needed.
    """
    network = job.network
    module.eval()
    _finish_encoders(job, device)
    # Over a frozen encoder the pooled vectors are there already.
    whole = module.frozen if module.frozen == network.encoder.depth else 0
    for objective in job.objectives:
        frozen = 0 if objective.rewrites_encoder else whole
        feeds = Feeds(network, frozen, job.store, job.encode_engine)
        batches = {}
        for name in map(rows_of, objective.streams):
            data = job.streams[name]
            batches[name] = _whole_batches(feeds.feed(data.inputs), data, device)
        objective.finish(network, batches)


def _finish_encoders(job: Job, device: torch.device) -> None:
    """Let encoders look once more at the labelled rows that were trained on, where they want to."""
    network = job.network
    read = dict.fromkeys(rows_of(name) for each in job.objectives for name in each.streams)
    labelled = [name for name in read if job.streams[name].targets is not None]
    feeds = Feeds(network)

    def batches() -> Iterator[Batch]:
        for name in labelled:
            data = job.streams[name]
            yield from _whole_batches(feeds.feed(data.inputs), data, device)

    for encoder in network.encoders.values():
        assert isinstance(encoder, Encoder)
        if encoder.finishes:
            encoder.finish(batches)


def _whole_batches(feed: Feed, data: StreamData, device: torch.device) -> Iterator[Batch]:
    """All rows of a stream, batch by batch, long ones first."""
    for rows in evaluation_batches(feed.lengths, _WHOLE_TOKENS):
        yield batch_of(feed, data, rows, device)


class Streams:
    """Where a stage's batches come from.

    Args:
        job: The job.
        feeds: Feeds that begin after what the stage froze.
        names: The streams to read, views included.
        stage: The stage's number, so that stages draw independently.
        rank: This process.
        world: How many processes there are.
        device: Where batches are needed.
    """

    def __init__(
        self,
        job: Job,
        feeds: Feeds,
        names: Sequence[str],
        *,
        stage: int,
        rank: int,
        world: int,
        device: torch.device,
    ) -> None:
        self._job = job
        self._names = tuple(names)
        self._device = device
        self._feeds = {
            name: _feed(feeds, job.streams[name])
            for name in dict.fromkeys(rows_of(name) for name in names)
        }
        self._variants = {
            name: [feeds.feed(inputs) for inputs in job.streams[rows_of(name)].variants]
            for name in names
            if name.endswith("/augmented")
        }
        self._drawn: dict[str, Stream] = {}
        self._episodes: dict[str, EpisodeStream] = {}
        for name in names:
            rows = rows_of(name)
            if name.endswith("/episodes"):
                self._episodes[name] = EpisodeStream(
                    _classes(job.streams[rows], name),
                    _episodes(job.objectives, name),
                    seed=job.seed,
                    name=f"{name}-{stage}",
                    rank=rank,
                )
            elif rows not in self._drawn:
                self._drawn[rows] = Stream(
                    self._feeds[rows].lengths,
                    Batching(rows_per_step(job, rows) * world, job.options.batch_tokens),
                    seed=job.seed,
                    name=f"{rows}-{stage}",
                    rank=rank,
                    world=world,
                )

    def next(self) -> dict[str, Batch]:
        """One batch for each stream."""
        drawn = {name: next(stream) for name, stream in self._drawn.items()}
        return {name: self._batch(name, drawn) for name in self._names}

    def _batch(self, name: str, drawn: Mapping[str, Rows]) -> Batch:
        rows = rows_of(name)
        data, feed = self._job.streams[rows], self._feeds[rows]
        if name in self._episodes:
            numbers, support = next(self._episodes[name])
            batch = batch_of(feed, data, numbers, self._device)
            batch["support"] = torch.from_numpy(support).to(self._device)
            return batch
        if name in self._variants:
            variants = self._variants[name]
            feed = variants[self._drawn[rows].epoch % len(variants)]
        return batch_of(feed, data, drawn[rows], self._device)

    def whole(self) -> dict[str, Batch]:
        """All rows of each stream in one batch, for a solver."""
        whole = slice(None)
        return {
            name: batch_of(
                self._feeds[rows_of(name)], self._job.streams[rows_of(name)], whole, self._device
            )
            for name in self._names
        }

    def state_dict(self) -> dict[str, Any]:
        """The position of every stream, as plain values."""
        both: dict[str, Stream | EpisodeStream] = {**self._drawn, **self._episodes}
        return {name: stream.state_dict() for name, stream in both.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a saved position."""
        for stream_name, stream in self._drawn.items():
            stream.load_state_dict(state[stream_name])
        for view, episodes in self._episodes.items():
            episodes.load_state_dict(state[view])


def _feed(feeds: Feeds, data: StreamData) -> Feed:
    return feeds.feed(data.inputs) if data.vectors is None else feeds.given(data.vectors)


def _episodes(objectives: Sequence[Objective], name: str) -> Episodes:
    """How the episodes of a stream are drawn: as the first objective that reads them says."""
    return next(
        objective.episodes
        for objective in objectives
        if name in objective.streams and objective.episodes is not None
    )


def _classes(data: StreamData, name: str) -> NDArray[Any]:
    if data.targets is None:
        raise ValueError(f"{name}: the rows have no labels")
    return data.targets
