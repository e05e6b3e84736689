"""New networks of a pretrained model's architecture, smaller, with its tokenizer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoModelForSequenceClassification

from transfuse.errors import ModelError, Problem
from transfuse.models.backbone import backbone_from_config
from transfuse.models.heads import Head, LinearHead, NativeHead, ProblemType
from transfuse.models.load import load_encoder
from transfuse.models.native import has_native_head, settle
from transfuse.models.network import Network
from transfuse.models.pooling import Pooling
from transfuse.models.principal import principal
from transfuse.models.quiet import quiet_loading
from transfuse.models.resize import layer_settings, own_name, reconfigured
from transfuse.models.source import seeded
from transfuse.models.students import chosen_layers
from transfuse.models.text import TextEncoder

__all__ = ["FEED_FORWARD", "Shape", "load_narrow"]

# How architectures name the width between the two layers of a feed-forward block.
FEED_FORWARD = ("intermediate_size", "hidden_dim", "n_inner", "d_ff", "ffn_dim")
# Widths that follow the hidden size wherever they are equal to it.
_FOLLOWING = ("embedding_size", "pooler_hidden_size")
_HEAD_WIDTHS = ("head_dim", "d_kv")


@dataclass(frozen=True)
class Shape:
    """The size of a narrower architecture.

    Args:
        hidden: Length of a token's vector, a multiple of `heads`.
        layers: Number of transformer blocks.
        heads: Attention heads of a block.
        feed_forward: Width between the two layers of a feed-forward block.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int


def load_narrow(
    like: str | Path,
    labels: Sequence[str],
    shape: Shape,
    *,
    embeddings: Literal["pca", "random"] = "pca",
    task: str = "label",
    problem_type: ProblemType = "single_label_classification",
    pooling: Pooling | Literal["auto"] = "auto",
    max_length: int = 128,
    dropout: float = 0.1,
    seed: int = 0,
) -> Network:
    """A new network of a pretrained model's architecture in another size, with its tokenizer.

    Args:
        like: The pretrained model: a folder, an installed package that carries one, or a hub id.
        labels: Name of each output.
        shape: The size.
        embeddings: `pca` starts the tokens' embeddings as the principal components of those of
            the pretrained model, in the scale that fresh ones have; `random` draws them like all
            other weights. Default `pca`.
        task: The head's name. Default `label`.
        problem_type: As for `load_classifier`.
        pooling: As for `load_classifier`.
        max_length: Longest text in tokens. Default 128.
        dropout: Dropout before a linear head. Default 0.1.
        seed: Seed of all weights that are drawn. Default 0.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If the pretrained model cannot be read, or its architecture has no such size.
    """
    teacher = load_encoder(like, pooling=pooling, max_length=max_length)
    config = _narrowed(teacher, shape, tuple(labels), problem_type)
    head: Head
    with seeded(seed), quiet_loading(), _sized(like, shape):
        native = teacher.pooling == "native" and has_native_head(config)
        if native:
            model = AutoModelForSequenceClassification.from_config(config)
            backbone, head = NativeHead.split(model)
        else:
            backbone = backbone_from_config(config, pooler=teacher.anatomy.has_pooler)
        encoder = TextEncoder(
            backbone, teacher.tokenizer, config, pooling=teacher.pooling, max_length=max_length
        )
    if native:
        settle(encoder, head)
    else:
        head = LinearHead(
            encoder.dim, len(labels), dropout, seed, labels=labels, problem_type=problem_type
        )
    if embeddings == "pca":
        _start_embeddings(encoder.backbone, teacher.backbone)
    return Network.for_text(encoder, {task: head}).eval()


def _narrowed(
    teacher: TextEncoder, shape: Shape, labels: tuple[str, ...], problem_type: ProblemType
) -> Any:
    """The teacher's config in another size, with labels."""
    config = teacher.config
    known = config.to_dict()
    hidden, heads = config.hidden_size, config.num_attention_heads
    total = config.num_hidden_layers
    deeper = shape.layers > total
    changed = layer_settings(
        config, range(total) if deeper else chosen_layers(total, shape.layers, "spread")
    )
    if deeper:
        # The architecture's own rule says what further layers are.
        changed = dict.fromkeys(changed)
    changed[own_name(config, "num_hidden_layers")] = shape.layers
    changed[own_name(config, "hidden_size")] = shape.hidden
    changed[own_name(config, "num_attention_heads")] = shape.heads
    names = [name for name in FEED_FORWARD if name in known]
    if not names:
        raise ModelError(
            Problem("model.like", f"{type(config).__name__} names no feed-forward width")
        )
    changed[names[0]] = shape.feed_forward
    changed |= {name: shape.hidden for name in _FOLLOWING if known.get(name) == hidden}
    changed |= {name: shape.hidden // shape.heads for name in _HEAD_WIDTHS if known.get(name)}
    if shared := known.get("num_key_value_heads"):
        # As many heads share their keys as in the teacher, as far as the numbers divide.
        most = max(1, shape.heads * shared // heads)
        changed["num_key_value_heads"] = next(
            count for count in range(most, 0, -1) if shape.heads % count == 0
        )
    changed |= {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        "problem_type": problem_type,
    }
    with _sized(teacher.config.name_or_path, shape):
        return reconfigured(config, changed)


def _start_embeddings(student: nn.Module, teacher: nn.Module) -> None:
    """Gives the student's token embeddings the geometry of the teacher's, in their own scale."""
    ours = cast(Any, student).get_input_embeddings()
    theirs = cast(Any, teacher).get_input_embeddings().weight.detach()
    width = ours.embedding_dim
    if width > theirs.shape[1]:
        raise ModelError(
            Problem(
                "model.hidden",
                f"{width}, and the embeddings of the model that it is like have {theirs.shape[1]}",
                "no more than those",
                "Or start them at random: `embeddings: random`.",
            )
        )
    same = width == theirs.shape[1]
    found = theirs.float() if same else principal(theirs, width)
    with torch.no_grad():
        weight = ours.weight
        scale = weight.std() / found.std()
        padding = None if ours.padding_idx is None else weight[ours.padding_idx].clone()
        rows = min(len(weight), len(found))
        weight[:rows] = found[:rows] * scale
        if padding is not None:
            weight[ours.padding_idx] = padding


@contextmanager
def _sized(like: str | Path, shape: Shape) -> Iterator[None]:
    """An architecture's objection to a size, as an error that a person can mend."""
    try:
        yield
    except (ValueError, StrictDataclassError) as error:
        raise ModelError(
            Problem(str(like), f"its architecture has no such size ({error})", str(shape))
        ) from error
