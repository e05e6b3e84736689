"""Full fine-tuning on 2,000 sentences, beside a plain transformers.Trainer script.

Both train the same classifier over mean-pooled tokens for three epochs; Trainer at its defaults
(batch size 8, AdamW at 5e-5, linear schedule, fp32) with dynamic padding.
"""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from benchmarks.measuring import MODEL, alternate, machine, reviews, shown
from transfuse.balancing import Fixed
from transfuse.models import (
    Engine,
    Feeds,
    Inference,
    Network,
    Store,
    hold_memory,
    load_classifier,
    load_network,
    probe_engine,
    read_inputs,
    save_network,
)
from transfuse.objectives import StreamTask, Target
from transfuse.tasks import Classification
from transfuse.training import Job, StreamData, Training, fit
from transfuse.tuning import Full

ROWS, EPOCHS = 2000, 3
TASK = Classification(labels=("negative", "positive"))


def main(rounds: int = 5) -> None:
    """Measure and print."""
    hold_memory()
    train, test = reviews(ROWS)
    scores: dict[str, list[float]] = {"ours": [], "theirs": []}

    def accuracy(network: Network) -> float:
        inputs = read_inputs(network.encoder, test.texts())
        logits = Inference(network, Engine()).logits(Feeds(network).feed(inputs), "target")
        return float((logits.argmax(1).numpy() == TASK.encode(test.labels(), "test")).mean())

    def ours(seed: int) -> float:
        network = load_classifier(MODEL, TASK.labels, task="target", seed=seed)
        began = time.perf_counter()
        fit(_job(network, train, seed))
        rate = ROWS * EPOCHS / (time.perf_counter() - began)
        scores["ours"].append(accuracy(network))
        return rate

    def theirs(seed: int) -> float:
        with TemporaryDirectory() as folder:
            start = load_classifier(MODEL, TASK.labels, task="target", seed=seed)
            save_network(start, Path(folder) / "start")
            rate, model = _plain_trainer(Path(folder), start, train, seed)
            model.save_pretrained(Path(folder) / "start")
            scores["theirs"].append(accuracy(load_network(Path(folder) / "start")))
        return rate

    mine, other, ratios = alternate(rounds, ours, theirs)
    print(machine())
    print(f"{ROWS:,} movie sentences, {EPOCHS} epochs, {rounds} seeds in turn")
    print(f"transfuse   {mine:6.0f} sentences/s (median), accuracy {_spread(scores['ours'])}")
    print(f"Trainer     {other:6.0f} sentences/s (median), accuracy {_spread(scores['theirs'])}")
    print(f"ratio       {shown(ratios)}")


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"


def _job(network: Network, train: Any, seed: int) -> Job:
    inputs = read_inputs(network.encoder, train.texts())
    data = StreamData(inputs, TASK.encode(train.labels(), "train"))
    return Job(
        network=network,
        stages=Full().stages(network),
        objectives=(Target(),),
        balancer=Fixed(),
        options=Training(epochs=EPOCHS, batch_size=16),
        streams={"target": data},
        tasks={"target": StreamTask(TASK, "target")},
        seed=seed,
        engine=probe_engine("train"),
        encode_engine=probe_engine("encode"),
        store=Store(),
        fingerprint="benchmark",
    )


def _plain_trainer(folder: Path, start: Network, train: Any, seed: int) -> tuple[float, Any]:
    """What people write today: Trainer at its defaults with dynamic padding."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "start")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "start")
    labels = TASK.encode(train.labels(), "train")
    encoded = tokenizer(train.texts(), truncation=True, max_length=128)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
        for ids, mask, label in zip(
            encoded["input_ids"], encoded["attention_mask"], labels, strict=True
        )
    ]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        num_train_epochs=EPOCHS,
        seed=seed,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    began = time.perf_counter()
    trainer.train()
    return ROWS * EPOCHS / (time.perf_counter() - began), model
