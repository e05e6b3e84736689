"""Students made by taking layers of a teacher: some transformer blocks, and all else as it is."""

from typing import Literal

import torch

from transfuse.errors import ModelError, Problem
from transfuse.models.encoder import Encoder
from transfuse.models.heads import Head, NativeHead
from transfuse.models.network import Network
from transfuse.models.quiet import quiet_loading
from transfuse.models.resizable import Resizable, block_prefix
from transfuse.models.resize import layer_settings, reconfigured
from transfuse.models.source import seeded

__all__ = ["Take", "chosen_layers", "keep_layers"]

Take = Literal["spread", "first", "last"]
"""Which layers of a teacher a student takes."""


def chosen_layers(total: int, count: int, take: Take) -> tuple[int, ...]:
    """The layers of a teacher that become those of a student.

    Args:
        total: How many blocks the teacher has.
        count: How many the student gets.
        take: `first`, `last`, or `spread`: at even distances from the first to the last, which of
            twelve for six are those of DistilBERT (Sanh et al., 2019, arXiv:1910.01108).

    Returns:
        Their indices, ascending.

    Raises:
        ModelError: If the teacher has not so many.
    """
    if not 1 <= count <= total:
        raise ModelError(
            Problem("model.layers", f"{count}, of a model with {total} layers", f"1 to {total}")
        )
    match take:
        case "first":
            return tuple(range(count))
        case "last":
            return tuple(range(total - count, total))
        case "spread":
            steps = max(1, count - 1)
            return tuple(round(place * (total - 1) / steps) for place in range(count))


def keep_layers(network: Network, count: int, take: Take = "spread") -> Network:
    """A student that consists of some of a network's transformer blocks, and of all else.

    It is built as its architecture builds a model of this depth, so that its folder opens in plain
    transformers.

    Args:
        network: One encoder of one backbone, and its heads, which the student takes over.
        count: How many blocks to keep.
        take: Which, see `chosen_layers`. Default `spread`.

    Returns:
        The student, in evaluation mode.

    Raises:
        ModelError: If the encoder has no such blocks, or its architecture cannot do without those
            that were left out.
    """
    encoder = network.encoder
    if not isinstance(encoder, Resizable) or block_prefix(encoder) is None:
        raise ModelError(
            Problem(
                "model.layers",
                f"{_name_of(encoder)} has no list of layers to take from",
                fix="Leave `layers` out, or take another model.",
            )
        )
    student = _shallower(encoder, chosen_layers(len(encoder.anatomy.blocks), count, take))
    heads = {}
    for name, head in network.heads.items():
        assert isinstance(head, Head)
        if isinstance(head, NativeHead):
            head.model.config = student.config
        heads[name] = head
    (column,) = network.encoders
    return Network({column: student}, heads, network.fusion).eval()


def _shallower(encoder: Resizable, chosen: tuple[int, ...]) -> Resizable:
    config = reconfigured(encoder.config, layer_settings(encoder.config, chosen))
    weights = _renumbered(encoder, chosen)
    with seeded(0), quiet_loading():
        backbone = encoder.fresh(config)
    backbone.to(next(encoder.parameters()).dtype)
    expected = {name: weight.shape for name, weight in backbone.state_dict().items()}
    given = {name: weight.shape for name, weight in weights.items()}
    if odd := sorted(dict(expected.items() ^ given.items())):
        raise ModelError(
            Problem(
                "model.take",
                f"{_name_of(encoder)} without its first layer lacks what the others need, or what "
                f"its architecture expects there: {odd[0]!r}",
                fix="`spread` and `first` keep the first layer.",
            )
        )
    backbone.load_state_dict(weights)
    return encoder.around(backbone.eval(), config)


def _renumbered(encoder: Resizable, chosen: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """The backbone's weights under the names that they have in the student."""
    where = block_prefix(encoder)
    assert where is not None
    places = {old: new for new, old in enumerate(chosen)}
    weights = {}
    for name, weight in encoder.backbone.state_dict().items():
        if not name.startswith(where):
            weights[name] = weight
            continue
        number, _, rest = name.removeprefix(where).partition(".")
        if int(number) in places:
            weights[f"{where}{places[int(number)]}.{rest}"] = weight
    return weights


def _name_of(encoder: Encoder) -> str:
    return type(getattr(encoder, "backbone", encoder)).__name__
