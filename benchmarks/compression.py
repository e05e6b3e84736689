"""What a classifier of six layers becomes in other number types and runtimes: speed, size, score.

all-MiniLM-L6-v2 fine-tuned on 1,600 movie sentences; layers are kept by 400 others; accuracy on
2,000 more. Each kind answers the same sentences in turn with plain torch in 32 bits, from texts to
probabilities, in batches by length. Sizes are of the graph or the weights alone.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.measuring import MODEL, alternate, machine, reviews, shown
from transfuse.answering import Evidence, ModelFolder, Stage, load_model, write_folder
from transfuse.answering.exported import ExportedModel
from transfuse.balancing import Fixed
from transfuse.compression.bfloat16 import BFloat16
from transfuse.compression.export import Onnx
from transfuse.compression.openvino_int8 import OpenVino
from transfuse.compression.quantise import Int8
from transfuse.data import Table
from transfuse.evaluation import Scorecard
from transfuse.models import Engine, Store, hold_memory, load_classifier, probe_engine, read_inputs
from transfuse.objectives import StreamTask, Target
from transfuse.tasks import Classification
from transfuse.training import Job, StreamData, Training, fit
from transfuse.tuning import Full

TASK = Classification(labels=("negative", "positive"))
STAGES: dict[str, Stage] = {
    "torch, bf16 weights": BFloat16(tolerance=0.01),
    "ONNX, fp32": Onnx(),
    "ONNX, int8": Int8(),
    "OpenVINO, bf16": OpenVino(precision="bf16"),
    "OpenVINO, int8": OpenVino(),
}
"""The kinds that are measured beside torch in 32 bits and in the arithmetic of the engine probe."""


def main(rounds: int = 5) -> None:
    """Measure and print.

    Args:
        rounds: Rounds of the timings.
    """
    hold_memory()
    rows, test = reviews(2000)
    evidence = Evidence(rows.take(np.arange(1600)), rows.take(np.arange(1600, 2000)))
    with TemporaryDirectory() as scratch:
        plain = _classifier(evidence.train, Path(scratch))
        measure(plain, evidence, test, Path(scratch), rounds)


def measure(
    plain: ModelFolder, evidence: Evidence, test: Table, scratch: Path, rounds: int
) -> None:
    """Compress a classifier in every way, and print what became of it.

    Args:
        plain: The classifier, opened in plain arithmetic.
        evidence: Rows to calibrate on and to choose by.
        test: Rows to judge by.
        scratch: An empty folder.
        rounds: Rounds of the timings.
    """
    chosen = load_model(plain.path, probe_engine("encode"))
    kinds: dict[str, tuple[Callable[..., Any], int]] = {
        "torch, fp32": (plain.scores, _weights(plain.path)),
        "torch, engine probe": (chosen.scores, _weights(plain.path)),
    }
    print(machine())
    graph = plain
    for name, stage in STAGES.items():
        began = time.perf_counter()
        made = stage.make([graph], evidence, 0, lambda what, done, total: None)
        told = [f"{name}: made in {time.perf_counter() - began:.0f} s"]
        if isinstance(made.model, ExportedModel):
            kinds[name] = made.model.scores, made.model.size
            # One export serves all graphs, as in `then: [onnx, int8]`.
            graph = replace(graph, model=made.model) if isinstance(stage, Onnx) else graph
            told.append(f"differs by {made.told['batch_difference']:.1g} in other company")
        else:
            folder = _written(scratch / "bf16", made.model)
            opened = load_model(folder, probe_engine("encode"))
            kinds[name] = opened.scores, _weights(folder)
        if "kept" in made.told:
            told.append(f"{len(made.told['kept'])} of {made.told['layers']} layers kept")
            told.append(f"logit error {made.told['logit_error']:.5f}")
        print(", ".join(told), flush=True)
    texts, targets = test.texts(), plain.task.encode(test.labels(), test.name)
    first, size = kinds["torch, fp32"]
    right = float((first(texts).argmax(1) == targets).mean())
    for name, (scores, bytes_) in kinds.items():
        accuracy = float((scores(texts).argmax(1) == targets).mean())
        rate, _, ratios = alternate(rounds, _rate(scores, texts), _rate(first, texts))
        print(
            f"{name:<20}{rate:6.0f} sentences/s  {shown(ratios)} times torch fp32  "
            f"{bytes_ / 1e6:5.1f} MB, 1/{size / bytes_:.1f}  accuracy {accuracy:.4f}, "
            f"keeps {100 * accuracy / right:.1f} %",
            flush=True,
        )


def _rate(scores: Callable[..., Any], texts: list[str]) -> Callable[[int], float]:
    """Sentences a second from texts to probabilities."""
    some = texts[:300]

    def once(_: int) -> float:
        began = time.perf_counter()
        scores(some)
        return len(some) / (time.perf_counter() - began)

    return once


def _classifier(train: Table, folder: Path) -> ModelFolder:
    network = load_classifier(MODEL, TASK.labels, pooling="mean", task="target")
    inputs = read_inputs(network.encoder, train.texts())
    data = StreamData(inputs, TASK.encode(train.labels(), "train"))
    job = Job(
        network=network,
        stages=Full().stages(network),
        objectives=(Target(),),
        balancer=Fixed(),
        options=Training(epochs=1, batch_size=16),
        streams={"target": data},
        tasks={"target": StreamTask(TASK, "target")},
        seed=0,
        engine=probe_engine("train"),
        encode_engine=probe_engine("encode"),
        store=Store(),
        fingerprint="benchmark",
    )
    fit(job)
    return load_model(_written(folder / "fp32", network.eval()), Engine())


def _written(folder: Path, model: Any) -> Path:
    write_folder(
        folder,
        model,
        TASK,
        columns={"text": "text"},
        recipe={},
        scorecard=Scorecard({}),
        training_keys=[],
    )
    return folder


def _weights(folder: Path) -> int:
    return (folder / "model.safetensors").stat().st_size
