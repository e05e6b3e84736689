"""What the methods of domain adaptation ask of a run, and how they read a step.

Each compares rows of the source with rows of the target whose labels are withheld, so one head
has to answer for both.
"""

from collections.abc import Mapping

import torch

from transfuse.errors import Problem, RecipeError
from transfuse.models import Head, Network
from transfuse.objectives.base import Facts, Step, StreamTask

__all__ = [
    "discrete_task",
    "entropies",
    "features_of",
    "full_precision",
    "input_dim",
    "logits_of",
    "nothing",
    "shared_task",
]


def shared_task(method: str, facts: Mapping[str, Facts]) -> StreamTask:
    """The task of the unlabelled rows, whose head has to answer for the source's rows too.

    Args:
        method: The objective's name in recipes.
        facts: What is known of each stream.

    Raises:
        RecipeError: If the source has a head of its own.
    """
    known = facts["unlabelled"].task
    assert known is not None, "rows without labels still have the target's task"
    source = facts["source"].task if "source" in facts else None
    if source is not None and source.head != known.head:
        raise RecipeError(
            Problem(
                "learn",
                f"{method} needs one head for source and target, but each has its own",
                "source labels that are among the target's",
                "Rename the source's labels, leave out its other rows, or leave out the method.",
            )
        )
    return known


def discrete_task(method: str, facts: Mapping[str, Facts]) -> StreamTask:
    """The same, for a method whose mathematics needs classes.

    Args:
        method: The objective's name in recipes.
        facts: What is known of each stream.

    Raises:
        RecipeError: If the source has a head of its own, or the task is not classification.
    """
    known = shared_task(method, facts)
    if known.task.kind != "classification":
        raise RecipeError(
            Problem(
                "learn",
                f"{method} needs classes, the task is {known.task.kind}",
                "classification",
                "coral, mmd, dann and afn read no classes.",
            )
        )
    return known


def input_dim(network: Network, head: str) -> int:
    """Length of the vectors that a head reads.

    Args:
        network: The network.
        head: The head's name.
    """
    reader = network.heads[head]
    assert isinstance(reader, Head)
    return network.encoder.dim if reader.linear is None else reader.linear.in_features


def features_of(step: Step, stream: str) -> torch.Tensor:
    """The vectors of a stream's rows in 32 bits, [n, d]."""
    return step.outputs[stream].features.float()


def logits_of(step: Step, stream: str) -> torch.Tensor:
    """The logits of a stream's rows from its task's head in 32 bits, [n, outputs]."""
    return step.outputs[stream].logits[step.tasks[stream].head].float()


def entropies(log_shares: torch.Tensor) -> torch.Tensor:
    """The entropy of each row in nats, [n], from log-probabilities [n, classes]."""
    return -(log_shares.exp() * log_shares).sum(-1)


def nothing(*tensors: torch.Tensor) -> torch.Tensor:
    """A loss of 0 that has the tensors' graph: every gradient is 0, and a backward pass works."""
    return torch.stack([0 * tensor.float().sum() for tensor in tensors]).sum()


def full_precision(tensor: torch.Tensor) -> torch.autocast:
    """A context in which products keep 32 bits, whatever autocast does to the network."""
    return torch.autocast(tensor.device.type, enabled=False)
