"""Requests a second and latencies of `transfuse serve`, beside a plain FastAPI app.

Both servers have the same folder of a six-layer MiniLM classifier and answer one text a request,
movie sentences of about 27 tokens; the peer runs it through a transformers pipeline. A third line
is ours with the folder that the stage `openvino` makes of it, in 8 bits. Servers and clients are
processes of this machine, so the clients take their part of the cores from all of them.

1. So many clients, each asking again as soon as it is answered; the two servers take turns.
2. Twice as many requests a second as ours has just answered: how many are turned away, and how.
3. `python -m benchmarks.serving --soak`: memory over 100,000 requests.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from benchmarks.measuring import MODEL, machine, reviews, shown
from transfuse.answering import Evidence, load_model, write_folder
from transfuse.data import sample
from transfuse.transfer import transfer

CLIENTS = (1, 8, 32)
ROWS = 1000
SECONDS = 6.0
SOAK = 100_000

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def load(self, texts: Sequence[str], **plan: Any) -> "Load":
        """What becomes of requests; see `serving_load.py`."""
        before = self.processor_seconds()
        done = subprocess.run(
            [sys.executable, str(_HERE / "serving_load.py"), str(self.port)],
            input=json.dumps({"texts": list(texts), **plan}),
            capture_output=True,
            text=True,
            check=True,
        )
        return Load(**json.loads(done.stdout), processor=self.processor_seconds() - before)

    def processor_seconds(self) -> float:
        """Seconds of a core that it has used, which other work on the machine hardly changes."""
        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    def megabytes(self) -> float:
        """Its memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


@dataclass(frozen=True)
class Load:
    """What became of requests."""

    statuses: dict[str, int]
    seconds: float
    latencies: list[float]
    processor: float
    """Seconds of a core that the server used."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def ms(self, percent: float) -> float:
        """The latency in milliseconds below which so many per cent of the answers were."""
        return 1000 * float(np.percentile(self.latencies, percent))

    @property
    def core_ms(self) -> float:
        """Milliseconds of a core for each answer."""
        return 1000 * self.processor / len(self.latencies)

    def told(self) -> str:
        """The statuses in words."""
        return ", ".join(f"{count:,} × {status}" for status, count in sorted(self.statuses.items()))


COLUMNS: Sequence[Callable[[Load], float]] = (
    lambda load: load.ms(50),
    lambda load: load.ms(95),
    lambda load: load.ms(99),
    lambda load: load.core_ms,
)


def main(rounds: int = 5) -> None:
    """Measure and print."""
    print(machine())
    with TemporaryDirectory() as place, ExitStack() as running:
        folder = make_folder(Path(place))
        small = make_small(folder, Path(place) / "small")
        servers = {
            "transfuse serve": running.enter_context(ours(folder)),
            "transfuse serve, 8 bits": running.enter_context(ours(small)),
            "FastAPI + pipeline": running.enter_context(plain(folder)),
        }
        texts = movie_texts()
        for server in servers.values():
            server.load(texts, clients=4, seconds=2)
        rate = beside(servers, texts, rounds)
        overload(servers["transfuse serve"], texts, rate)


def beside(servers: dict[str, Server], texts: Sequence[str], rounds: int) -> float:
    """The servers in turn; gives back what the first can sustain."""
    best = 0.0
    print(f"\n{rounds} rounds of {SECONDS:g} s each in turn, medians; ratios to the last line")
    print("clients  server                   answers/s   p50 ms   p95 ms   p99 ms  core ms   ratio")
    for clients in CLIENTS:
        runs = [
            [server.load(texts, clients=clients, seconds=SECONDS) for server in servers.values()]
            for _ in range(rounds)
        ]
        for place, name in enumerate(servers):
            loads = [run[place] for run in runs]
            numbers = " ".join(f"{middle(loads, value):8.1f}" for value in COLUMNS)
            rate = middle(loads, lambda load: load.rate)
            ratio = shown([run[place].rate / run[-1].rate for run in runs])
            last = place == len(servers) - 1
            print(f"{clients:7}  {name:24} {rate:9.0f} {numbers}   {'' if last else ratio}")
            failed = sum(sum(load.statuses.values()) - len(load.latencies) for load in loads)
            if failed:
                print(f"         {failed} without an answer")
            if not place:
                best = max(best, rate)
    return best


def middle(loads: Sequence[Load], value: Callable[[Load], float]) -> float:
    """The median over rounds."""
    return statistics.median(map(value, loads))


def overload(mine: Server, texts: Sequence[str], rate: float) -> None:
    """Twice what can be sustained."""
    load = mine.load(texts, rate=2 * rate, seconds=10)
    print(f"\n{2 * rate:.0f} requests/s for 10 s, twice what it sustains: {load.told()}")
    print(f"answered: {load.rate:.0f}/s, p50 {load.ms(50):.0f} ms, p99 {load.ms(99):.0f} ms")
    after = mine.load(texts, clients=1, requests=20)
    print(f"right after, one client: {after.told()}, p95 {after.ms(95):.1f} ms")


def soak() -> None:
    """Memory over many requests."""
    print(machine())
    # The server is looked at, not the model: short texts.
    texts = [f"number {n}" for n in range(1000)]
    with TemporaryDirectory() as place, ours(make_folder(Path(place))) as mine:
        print("requests   memory MiB   answers/s")
        step = SOAK // 10
        for done in range(step, SOAK + 1, step):
            load = mine.load(texts, clients=32, requests=step)
            assert set(load.statuses) == {"200"}, load.told()
            print(f"{done:8,}   {mine.megabytes():10.1f}   {load.rate:9.0f}", flush=True)


def make_folder(place: Path) -> Path:
    """A classifier of movie sentences that both servers read: a head on the frozen encoder."""
    train, _ = reviews(ROWS)
    rows = [
        {"text": t, "label": label} for t, label in zip(train.texts(), train.labels(), strict=True)
    ]
    path = place / "movies.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = {
        "name": "bench",
        "model": {"name": MODEL, "max_length": 128, "pooling": "native"},
        "data": {"target": str(path)},
        "tune": "frozen",
    }
    return transfer(recipe, place / "run").folder


def make_small(folder: Path, place: Path) -> Path:
    """The same classifier in 8 bits, as `transfuse compress` makes it."""
    from transfuse.compression.openvino_int8 import OpenVino

    model = load_model(folder)
    train, rest = reviews(ROWS)
    evidence = Evidence(train, rest.take(np.arange(500)))
    made = OpenVino(tolerance=0.05).make([model], evidence, 0, lambda what, done, total: None)
    write_folder(
        place,
        made.model,
        made.task,
        columns={},
        recipe=model.recipe,
        scorecard=model.scorecard,
        training_keys=model.training_keys,
    )
    return place


def movie_texts() -> list[str]:
    """Sentences in an order of their own."""
    texts = sample("movies").texts()
    return [texts[place] for place in np.random.default_rng(0).permutation(len(texts))[:2000]]


@contextmanager
def ours(folder: Path) -> Iterator[Server]:
    """`transfuse serve` at its defaults."""
    with _running("-m", "transfuse", "serve", f"bench={folder}", "--port") as server:
        yield server


@contextmanager
def plain(folder: Path) -> Iterator[Server]:
    """The peer."""
    with _running(str(_HERE / "serving_peer.py"), str(folder)) as server:
        yield server


@contextmanager
def _running(*command: str) -> Iterator[Server]:
    port = _free_port()
    output = subprocess.DEVNULL
    started = subprocess.Popen(
        [sys.executable, *command, str(port)], stdout=output, text=True, env=dict(os.environ)
    )
    with started as process:
        try:
            _wait(process, port)
            yield Server(process, port)
        finally:
            process.send_signal(signal.SIGTERM)


def _wait(process: subprocess.Popen[str], port: int) -> None:
    """Wait until a server is ready."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server ended with {process.returncode}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--soak", action="store_true", help="memory over 100,000 requests instead")
    chosen = parser.parse_args()
    if chosen.soak:
        soak()
    else:
        main(chosen.rounds)
