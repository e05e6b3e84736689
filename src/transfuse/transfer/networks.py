"""From what a recipe says of its model to a fresh network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from transfuse.data import Role
from transfuse.models import (
    Encoder,
    Engine,
    Fusion,
    Head,
    LinearHead,
    Network,
    ProblemType,
    Shape,
    Store,
    distil_static,
    keep_layers,
    load_classifier,
    load_encoder,
    load_narrow,
)
from transfuse.models.audio import audio_classifier
from transfuse.models.images import image_classifier, is_image_model
from transfuse.models.scenes import native_scenes
from transfuse.tasks import Detection, Segmentation, Task
from transfuse.transfer.choices import Columns, Narrow, Neural, Pretrained, Static
from transfuse.transfer.column_encoders import GivenFields, open_columns

__all__ = ["Material", "open_for_tasks", "open_network"]


@dataclass(frozen=True)
class Material:
    """What opening a model may need of the machine and of the data.

    Args:
        reads: The roles that the target's columns have.
        store: Where an encoder's vectors of its tokens are kept, for a static student.
        engine: Gives the arithmetic that computes them.
        field_rows: Gives the structured columns of the rows that train, each row a dict from column
            to value.
    """

    reads: tuple[Role, ...]
    store: Store
    engine: Callable[[], Engine]
    field_rows: GivenFields


def open_network(
    model: Neural, heads: Mapping[str, Task], seed: int, material: Material
) -> Network:
    """A network with its source's knowledge and new heads.

    Args:
        model: What it is made of.
        heads: The task of each head; the first may be the architecture's own.
        seed: Seed of all weights that are drawn.
        material: What opening it may need.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or made.
    """
    (first, task), *others = heads.items()
    match model:
        case Pretrained():
            network = _pretrained(model, first, task, seed, material.reads)
        case Narrow():
            network = _narrow(model, first, task, seed)
        case Static():
            network = _static(model, first, task, seed, material)
        case Columns():
            network = _columns(model, first, task, seed, material)
    if not isinstance(model, Static) and model.encoder_dropout is not None:
        for module in network.encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = model.encoder_dropout
    for name, other in others:
        network.heads[name] = _head(network.encoder, network.dim, model, other, seed)
    return network


def open_for_tasks(
    model: Neural,
    heads: Mapping[str, Task],
    fusion: Fusion | None,
    seed: int,
    material: Material,
) -> Network:
    """A network whose tasks all have a linear head, on the encoder's vector or on a fusion's.

    Args:
        model: As for `open_network`.
        heads: The task of each head.
        fusion: What stands between encoder and heads. Default: nothing.
        seed: As for `open_network`.
        material: Likewise.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the model cannot be found, read, or made.
    """
    first = dict([next(iter(heads.items()))])
    plain = open_network(model, first, seed, material)
    (column,), encoder = plain.encoders, plain.encoder
    if isinstance(model, Columns):
        shared: nn.Module | None = plain.fusion
        width = plain.dim
    else:
        shared = None if fusion is None else fusion.build(encoder.dim, tuple(heads), seed)
        width = encoder.dim if fusion is None else fusion.width or encoder.dim
    # A native head cannot be one of several: it is the whole architecture's.
    linear = {name: _head(encoder, width, model, task, seed) for name, task in heads.items()}
    return Network({column: encoder}, linear, shared).eval()


def _pretrained(
    model: Pretrained, head: str, task: Task, seed: int, reads: tuple[Role, ...]
) -> Network:
    whole = _with_own_head(model, head, task, seed)
    if whole is not None:
        return whole
    network = _classifier(model, head, task, seed, reads)
    encoder = task.viewed(network.encoder)
    own = task.head(encoder, encoder.dim, model.dropout, seed)
    if own is not None:
        (column,) = network.encoders
        network = Network({column: encoder}, {head: own}).eval()
    return network if model.layers is None else keep_layers(network, model.layers, model.take)


def _with_own_head(model: Pretrained, head: str, task: Task, seed: int) -> Network | None:
    """A pretrained detector or segmenter with the head that it has."""
    if not isinstance(task, Detection | Segmentation):
        return None
    return native_scenes(
        model.name,
        "detection" if isinstance(task, Detection) else "segmentation",
        task.label_names,
        task=head,
        grid=task.grid,
        size=model.size,
        batch_norm=model.batch_norm,
        seed=seed,
    )


def _classifier(
    model: Pretrained, head: str, task: Task, seed: int, reads: tuple[Role, ...]
) -> Network:
    """The model with a head for the task, opened by what it reads."""
    if Role.AUDIO in reads and not {Role.TEXT, Role.IMAGE}.intersection(reads):
        return audio_classifier(
            model.name,
            task.label_names,
            task=head,
            problem_type=_problem_type(task),
            spectrogram=model.sound,
            size=model.size,
            dropout=model.dropout,
            seed=seed,
            batch_norm=model.batch_norm,
        )
    if is_image_model(model.name):
        return image_classifier(
            model.name,
            task.label_names,
            task=head,
            problem_type=_problem_type(task),
            size=model.size,
            dropout=model.dropout,
            seed=seed,
            batch_norm=model.batch_norm,
        )
    return load_classifier(
        model.name,
        task.label_names,
        task=head,
        problem_type=_problem_type(task),
        pooling=model.pooling,
        max_length=model.max_length,
        dropout=model.dropout,
        seed=seed,
    )


def _narrow(model: Narrow, head: str, task: Task, seed: int) -> Network:
    wide = 4 * model.hidden if model.feed_forward is None else model.feed_forward
    return load_narrow(
        model.like,
        task.label_names,
        Shape(model.hidden, model.layers, model.heads, wide),
        embeddings=model.embeddings,
        task=head,
        problem_type=_problem_type(task),
        pooling=model.pooling,
        max_length=model.max_length,
        dropout=model.dropout,
        seed=seed,
    )


def _static(model: Static, head: str, task: Task, seed: int, material: Material) -> Network:
    teacher = load_encoder(model.of, pooling=model.pooling, max_length=model.max_length)
    encoder = distil_static(
        teacher,
        store=material.store,
        engine=material.engine(),
        dim=model.dim,
        weighting=model.weighting,
        max_length=model.max_length,
    )
    return Network.for_text(encoder, {head: _head(encoder, model.dim, model, task, seed)}).eval()


def _columns(model: Columns, head: str, task: Task, seed: int, material: Material) -> Network:
    encoder = open_columns(model, material.field_rows)
    fusion = model.fused_by.build(encoder.columns, seed)
    heads = {head: _head(encoder, fusion.dim, model, task, seed)}
    return Network({"columns": encoder}, heads, fusion).eval()


def _head(encoder: Encoder, dim: int, model: Neural, task: Task, seed: int) -> Head:
    """The task's own head, or else a linear one."""
    own = task.head(encoder, dim, model.dropout, seed)
    if own is not None:
        return own
    return LinearHead(
        dim,
        task.outputs,
        model.dropout,
        seed,
        labels=task.label_names,
        problem_type=_problem_type(task),
    )


def _problem_type(task: Task) -> ProblemType:
    """What transformers calls the task; of one with a head of its own it does not matter."""
    return task.problem_type or "single_label_classification"
