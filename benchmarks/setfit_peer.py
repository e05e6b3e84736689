"""One training of `setfit`, for `few_shot.py`; runs where `setfit` is installed, without Transfuse.

python setfit_peer.py JOB.json prints [accuracy, seconds of training].
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

PAIRS = 20
"""Pairs of one class and pairs of two for each row, as in the paper."""


def run(job: dict[str, Any]) -> tuple[float, float]:
    """Accuracy on the test rows, and seconds."""
    names = sorted(set(job["train"]["labels"]))
    number = {name: place for place, name in enumerate(names)}
    rows = Dataset.from_dict(
        {
            "text": job["train"]["texts"],
            "label": [number[label] for label in job["train"]["labels"]],
        }
    )
    model = SetFitModel.from_pretrained(job["model"])
    arguments = TrainingArguments(
        output_dir=job["output"],
        num_iterations=PAIRS,
        num_epochs=1,
        batch_size=16,
        seed=job["seed"],
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    began = time.perf_counter()
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    seconds = time.perf_counter() - began
    answers = model.predict(job["test"]["texts"], show_progress_bar=False).tolist()
    right = [names[a] == label for a, label in zip(answers, job["test"]["labels"], strict=True)]
    return sum(right) / len(right), seconds


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
