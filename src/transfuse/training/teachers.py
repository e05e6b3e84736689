"""Teachers: models that answer every row of a stream once, before a student learns from it.

Answers are kept in the feature store under the rows' content and the teacher's weights, so that
every epoch, seed and recipe reads them and none computes them again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.about import read_about
from transfuse.data import Role
from transfuse.errors import ModelError, Problem, RecipeError
from transfuse.models import (
    Answers,
    Encoder,
    Engine,
    Features,
    Feeds,
    Inference,
    Inputs,
    Network,
    Store,
    load_encoder,
    load_network,
    pooled_features,
    prefix_features,
    read_inputs,
)
from transfuse.objectives import Question, StreamTask

__all__ = ["Teacher", "answer", "open_teacher"]


@dataclass(frozen=True)
class Teacher:
    """An opened teacher, in evaluation mode.

    Args:
        name: What the recipe calls it.
        encoder: Its encoder.
        network: The encoder with the head that answers; None for a bare encoder.
        head: The name of that head.
        labels: What the head's outputs mean.
    """

    name: str
    encoder: Encoder
    network: Network | None = None
    head: str = ""
    labels: tuple[str, ...] = ()


def open_teacher(name: str) -> Teacher:
    """Open a model folder, or the encoder that a name stands for.

    Args:
        name: A model folder, a package, or a hub id.

    Raises:
        ModelError: If there is no such model, or it is not a network.
    """
    if not (Path(name) / "transfuse.json").exists():
        return Teacher(name, load_encoder(name))
    about = read_about(Path(name))
    if about["kind"] != "network":
        raise ModelError(
            Problem(name, f"is a model of kind {about['kind']!r}", "a network, to be a teacher")
        )
    network = load_network(Path(name)).eval()
    return Teacher(name, network.encoder, network, about["head"], tuple(about["labels"]))


def answer(
    question: Question,
    teacher: Teacher,
    task: StreamTask,
    student: tuple[Encoder, Inputs],
    rows: Callable[[Sequence[Role]], Sequence[Any]],
    store: Store,
    engine: Engine,
) -> Answers:
    """What a teacher says of every row.

    Args:
        question: What is asked.
        teacher: Who is asked.
        task: The task of the stream.
        student: Who will learn from it, and the rows as it reads them.
        rows: Gives the rows as a model of some roles reads them, for a teacher that reads or cuts
            them otherwise.
        store: Where answers are kept.
        engine: The arithmetic.

    Raises:
        RecipeError: If the teacher cannot answer such a question about this task.
    """
    encoder = teacher.encoder
    same = encoder.preprocessing == student[0].preprocessing
    inputs = student[1] if same else read_inputs(encoder, rows(encoder.reads))
    match question.what:
        case "logits":
            logits = _logits(teacher, inputs, store, engine)
            return Answers(logits if question.own_labels else logits[:, _order(teacher, task)])
        case "features":
            vectors = pooled_features(
                encoder, inputs.tokens, inputs.keys, store=store, engine=engine
            )
            return Answers(vectors)
        case "tokens":
            if not same:
                raise RecipeError(
                    Problem(
                        "learn",
                        f"the teacher {teacher.name} cuts texts otherwise than the student",
                        "one tokenizer and one max_length for both, to compare token by token",
                        "Distil `logits` or pooled vectors, or give both the same max_length.",
                    )
                )
            layer = encoder.depth if question.layer is None else question.layer
            if not 1 <= layer <= encoder.depth:
                raise RecipeError(
                    Problem(
                        "learn",
                        f"layer {layer} of the teacher",
                        f"a layer from 1 to {encoder.depth}",
                    )
                )
            kept = prefix_features(
                encoder, inputs.tokens, inputs.keys, layer, store=store, engine=engine
            )
            return Answers(kept)


def _logits(teacher: Teacher, inputs: Inputs, store: Store, engine: Engine) -> NDArray[np.float32]:
    network = teacher.network
    if network is None:
        raise RecipeError(
            Problem(
                "learn",
                f"the teacher {teacher.name} has no head that answers",
                "a model folder that `transfuse transfer` or a study wrote",
            )
        )
    inference = Inference(network, engine)

    def compute(rows: NDArray[np.int64]) -> Features:
        found = inference.logits(Feeds(network).feed(inputs.take(rows)), teacher.head)
        return Features.from_tensor(found, np.ones(len(found), np.int64))

    return store.get(_space(teacher, engine), inputs.keys, compute).matrix()


def _space(teacher: Teacher, engine: Engine) -> str:
    """Names by content what the teacher's head computes."""
    assert teacher.network is not None
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{engine.dtype} {engine.autocast} logits {teacher.head}".encode())
    digest.update(teacher.encoder.fingerprint(teacher.encoder.depth).encode())
    for name, tensor in sorted(teacher.network.state_dict().items()):
        if not name.startswith("encoders."):
            digest.update(name.encode())
            digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _order(teacher: Teacher, task: StreamTask) -> list[int]:
    """The teacher's outputs in the order of the student's labels."""
    wanted = task.task.label_names
    if set(wanted) != set(teacher.labels) or len(wanted) != len(teacher.labels):
        raise RecipeError(
            Problem(
                "learn",
                f"the teacher {teacher.name} knows the labels {', '.join(teacher.labels[:8])}",
                f"those of the task: {', '.join(wanted[:8])}",
                "Take a teacher of the same labels, or distil its vectors.",
            )
        )
    return [teacher.labels.index(label) for label in wanted]
