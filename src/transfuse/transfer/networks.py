"""From what a recipe says of its model to a fresh network."""

from collections.abc import Callable, Mapping

from torch import nn

from transfuse.models import (
    Engine,
    Fusion,
    LinearHead,
    Network,
    Shape,
    Store,
    distil_static,
    keep_layers,
    load_classifier,
    load_encoder,
    load_narrow,
)
from transfuse.tasks import Task
from transfuse.transfer.choices import Narrow, Neural, Pretrained, Static

__all__ = ["open_for_tasks", "open_network"]


def open_network(
    model: Neural,
    heads: Mapping[str, Task],
    seed: int,
    store: Store,
    engine: Callable[[], Engine],
) -> Network:
    """A network with its source's knowledge and new heads.

    Args:
        model: What it is made of.
        heads: The task of each head; the first may be the architecture's own.
        seed: Seed of all weights that are drawn.
        store: Where an encoder's vectors of its tokens are kept, for a static student.
        engine: Gives the arithmetic that computes them.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or made.
    """
    (first, task), *others = heads.items()
    match model:
        case Pretrained():
            network = _pretrained(model, first, task, seed)
        case Narrow():
            network = _narrow(model, first, task, seed)
        case Static():
            network = _static(model, first, task, seed, store, engine())
    if not isinstance(model, Static) and model.encoder_dropout is not None:
        for module in network.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = model.encoder_dropout
    for name, other in others:
        network.heads[name] = _head(network.encoder.dim, model, other, seed)
    return network


def open_for_tasks(
    model: Neural,
    heads: Mapping[str, Task],
    fusion: Fusion | None,
    seed: int,
    store: Store,
    engine: Callable[[], Engine],
) -> Network:
    """A network whose tasks all have a linear head, on the encoder's vector or on a fusion's.

    Args:
        model: As for `open_network`.
        heads: The task of each head.
        fusion: What stands between encoder and heads. Default: nothing.
        seed: As for `open_network`.
        store: Likewise.
        engine: Likewise.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or made.
    """
    plain = open_network(model, dict([next(iter(heads.items()))]), seed, store, engine)
    (column,), encoder = plain.encoders, plain.encoder
    shared = None if fusion is None else fusion.build(encoder.dim, tuple(heads), seed)
    width = encoder.dim if shared is None else shared.dim
    # A native head cannot be one of several: it is the whole architecture's.
    linear = {name: _head(width, model, task, seed) for name, task in heads.items()}
    return Network({column: encoder}, linear, shared).eval()


def _pretrained(model: Pretrained, head: str, task: Task, seed: int) -> Network:
    network = load_classifier(
        model.name,
        task.label_names,
        task=head,
        problem_type=task.problem_type,
        pooling=model.pooling,
        max_length=model.max_length,
        dropout=model.dropout,
        seed=seed,
    )
    return network if model.layers is None else keep_layers(network, model.layers, model.take)


def _narrow(model: Narrow, head: str, task: Task, seed: int) -> Network:
    wide = 4 * model.hidden if model.feed_forward is None else model.feed_forward
    return load_narrow(
        model.like,
        task.label_names,
        Shape(model.hidden, model.layers, model.heads, wide),
        embeddings=model.embeddings,
        task=head,
        problem_type=task.problem_type,
        pooling=model.pooling,
        max_length=model.max_length,
        dropout=model.dropout,
        seed=seed,
    )


def _static(
    model: Static, head: str, task: Task, seed: int, store: Store, engine: Engine
) -> Network:
    teacher = load_encoder(model.of, pooling=model.pooling, max_length=model.max_length)
    encoder = distil_static(
        teacher,
        store=store,
        engine=engine,
        dim=model.dim,
        weighting=model.weighting,
        max_length=model.max_length,
    )
    return Network.for_text(encoder, {head: _head(model.dim, model, task, seed)}).eval()


def _head(dim: int, model: Neural, task: Task, seed: int) -> LinearHead:
    return LinearHead(
        dim,
        task.outputs,
        model.dropout,
        seed,
        labels=task.label_names,
        problem_type=task.problem_type,
    )
