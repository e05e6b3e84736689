"""What students keep of the demo's classifier, how fast they are, and what stored answers save.

The shipped recipe `distill` on all labelled product reviews: a teacher of six layers, students of
three and two of its layers and a bag of token vectors, which learn from its answers to the
reviews' labels and to sentences of the other samples. Accuracy on the reviews' test sentences.
Then one pass of the three-layer student over the same sentences with the teacher's answers read
from the store, beside the same pass with the teacher run on every batch, in turn.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn import functional

from benchmarks.measuring import MODEL, alternate, machine, shown
from transfuse.data import Role, sample
from transfuse.models import (
    Feeds,
    Inference,
    Network,
    Store,
    hold_memory,
    probe_engine,
    read_inputs,
)
from transfuse.recipe import read_recipe
from transfuse.study import compare, read_study
from transfuse.tasks import Classification
from transfuse.transfer import Neural, Pretrained
from transfuse.transfer.networks import Material, open_network

_FOLDER = Path("runs") / "benchmarks" / "distillation"
_STUDENTS = ("layers-3", "layers-2", "static")
TASK = Classification(labels=("negative", "positive"))


def main(rounds: int = 5) -> None:
    """Measure and print.

    Args:
        rounds: Seeds of the study, at most three, and rounds of the timings.
    """
    hold_memory()
    folder = compare(_recipe(min(rounds, 3)), _FOLDER)
    accuracy = _accuracy(folder)
    print(machine())
    print(f"{len(_texts()):,} unlabelled sentences, {min(rounds, 3)} seeds")
    teacher = _rate(_network("teacher"))
    for name in ("teacher", *_STUDENTS, "layers-3-alone"):
        value, low, high = accuracy[name]
        kept = 100 * value / accuracy["teacher"][0]
        line = (
            f"{name:<16}{100 * value:6.2f} [{100 * low:.1f}, {100 * high:.1f}]  keeps {kept:5.1f} %"
        )
        if name in _STUDENTS:
            ratios = alternate(rounds, _rate(_network(name)), teacher)[2]
            line += f"  {shown(ratios)} times the teacher's throughput"
        print(line)
    print(f"training from stored answers: {shown(_stored(rounds))} times as fast")


def _recipe(seeds: int) -> dict[str, Any]:
    recipe = read_recipe("distill")
    return recipe | {"study": {**recipe["study"], "seeds": list(range(seeds))}}


def _texts() -> list[str]:
    return sample("movies").texts()


def _accuracy(folder: Path) -> dict[str, tuple[float, float, float]]:
    table = pd.read_parquet(folder / "study.parquet")
    rows = table[(table.kind == "score") & (table.metric == "accuracy") & (table.split == "target")]
    return {row.recipe: (row.value, row.low, row.high) for row in rows.itertuples()}


def _network(name: str) -> Network:
    """A network as the recipe's; its speed does not depend on what it has learnt."""
    plan = read_study(_recipe(1)).plans[name]
    model = plan.model
    assert isinstance(model, Neural)
    if isinstance(model, Pretrained):
        model = replace(model, name=MODEL)
    engine = probe_engine("encode")
    material = Material((Role.TEXT,), Store(), lambda: engine, lambda: ())
    return open_network(model, {"target": TASK}, 0, material)


def _rate(network: Network) -> Callable[[int], float]:
    """Sentences a second from texts to logits."""
    engine, texts = probe_engine("encode"), _texts()
    inference = Inference(network, engine)

    def measure(_: int) -> float:
        began = time.perf_counter()
        inference.logits(Feeds(network).feed(read_inputs(network.encoder, texts)), "target")
        return len(texts) / (time.perf_counter() - began)

    measure(0)
    return measure


def _stored(rounds: int) -> list[float]:
    """How many times as fast a student trains from stored answers as beside its teacher."""
    texts = _texts()[:2000]
    teacher, engine = _network("teacher").eval(), probe_engine("encode")
    inputs = read_inputs(teacher.encoder, texts)
    answers = Inference(teacher, engine).logits(Feeds(teacher).feed(inputs), "target")

    def rate(live: bool) -> Callable[[int], float]:
        def measure(seed: int) -> float:
            torch.manual_seed(seed)
            student = _network("layers-3").train()
            optimizer = torch.optim.AdamW(student.parameters(), lr=5e-5)
            feed, taught = Feeds(student).feed(inputs), Feeds(teacher).feed(inputs)
            order = torch.randperm(len(texts)).split(16)
            began = time.perf_counter()
            for rows in order:
                if live:
                    with torch.no_grad():
                        lesson = teacher(taught.batch(rows.numpy())).logits["target"]
                else:
                    lesson = answers[rows]
                logits = student(feed.batch(rows.numpy())).logits["target"]
                loss = functional.kl_div(
                    logits.log_softmax(-1),
                    lesson.log_softmax(-1),
                    reduction="batchmean",
                    log_target=True,
                )
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            return len(texts) / (time.perf_counter() - began)

        return measure

    return alternate(rounds, rate(live=False), rate(live=True))[2]
