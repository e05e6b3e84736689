"""The memory that answering takes, measured in a process that does nothing else."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transfuse.data import Role
from transfuse.errors import ModelError, Problem
from transfuse.transfer import Outcome, Workspace

__all__ = ["ANSWERING_MEMORY", "answering_memory_mb", "with_memory"]

ANSWERING_MEMORY = "answering_memory_mb"
"""The cost's name: megabytes at the most of a process that opens a model and answers 128 texts."""

_ASKED = 128

_ANSWER = """
import json, sys
from pathlib import Path

from transfuse.answering import load_model

load_model(sys.argv[1]).scores(json.load(sys.stdin))
told = Path("/proc/self/status")
if told.exists():
    peak = next(line for line in told.read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 2**10)
else:
    import psutil

    memory = psutil.Process().memory_info()
    print(getattr(memory, "peak_wset", memory.rss) / 2**20)
"""


def answering_memory_mb(model: Path, texts: Sequence[str]) -> float:
    """The peak resident memory of a fresh process that opens a model and answers texts.

    Python and the libraries that the model needs are part of it.

    Args:
        model: The model's folder.
        texts: The texts.

    Returns:
        Megabytes.

    Raises:
        ModelError: If the model cannot be opened there, or does not answer.
    """
    words = [sys.executable, "-c", _ANSWER, str(model)]
    done = subprocess.run(words, input=json.dumps(list(texts)), capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ModelError(Problem(str(model), f"does not answer in a process of its own: {last}"))
    return float(done.stdout.split()[-1])


def with_memory(outcome: Outcome, workspace: Workspace, model: Path) -> Outcome:
    """A run's outcome with what its saved model takes to answer, where it reads texts.

    Args:
        outcome: What the run left.
        workspace: Its data.
        model: The saved model.
    """
    reads = outcome.trained.reads
    target = workspace.prepared.target
    if reads != (Role.TEXT,) or not len(target.parts.test):
        return outcome
    texts = target.table.take(target.parts.test[:_ASKED]).inputs(reads)
    card = outcome.scorecard
    costs = {**card.costs, ANSWERING_MEMORY: answering_memory_mb(model, list(texts))}
    return replace(outcome, scorecard=replace(card, costs=costs))
