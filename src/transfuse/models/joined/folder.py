"""Networks of several columns to folders and back.

Each encoder is a folder of its own, `text`, `image` …, that opens as any other model of its kind
does; fusion and heads are `columns.safetensors` beside them, and `config.json` says how they belong
together.
"""

import json
from pathlib import Path
from typing import Any

from transfuse.errors import ModelError, Problem
from transfuse.models.columns import COLUMN_FUSIONS, FusedColumns, PairHead
from transfuse.models.encoder import Encoder
from transfuse.models.heads import LinearHead
from transfuse.models.joined.encoder import JoinedEncoder
from transfuse.models.joined.heads import head_of, head_told, read_own, write_own
from transfuse.models.joined.parts import load_part, save_part
from transfuse.models.network import Network
from transfuse.models.source import Attention
from transfuse.recipe.methods import build, spec_of

__all__ = ["is_joined", "load_joined", "save_joined"]

_KIND = "transfuse-columns"
_CONFIG = "config.json"
_WEIGHTS = "columns.safetensors"


def is_joined(folder: Path) -> bool:
    """Whether a folder holds a network of several columns.

    Args:
        folder: The folder.
    """
    config = folder / _CONFIG
    return (
        (folder / _WEIGHTS).is_file() and config.is_file() and _read(config)["model_type"] == _KIND
    )


def save_joined(network: Network, folder: Path) -> None:
    """Writes a network of several columns into a folder.

    Args:
        network: One `JoinedEncoder`, a fusion of columns and linear heads.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If the network has another shape, or an encoder cannot be written.
    """
    encoder, fusion = network.encoder, network.fusion
    kinds = (LinearHead, PairHead)
    heads = {name: head for name, head in network.heads.items() if isinstance(head, kinds)}
    whole = isinstance(encoder, JoinedEncoder) and isinstance(fusion, FusedColumns)
    if not whole or len(heads) < len(network.heads):
        found = ", ".join(
            type(each).__name__ for each in (encoder, fusion, *network.heads.values())
        )
        raise ModelError(
            Problem("network", f"it is {found}", "several columns, their fusion and linear heads")
        )
    assert isinstance(encoder, JoinedEncoder)
    assert isinstance(fusion, FusedColumns)
    folder.mkdir(parents=True, exist_ok=True)
    (name,) = network.encoders
    told = {
        "model_type": _KIND,
        "name": name,
        "columns": {
            column: save_part(part, folder / column) for column, part in encoder.encoders()
        },
        "order": [column.name for column in encoder.columns],
        "width": encoder.width,
        "fusion": spec_of(COLUMN_FUSIONS, fusion.options),
        "heads": [head_told(name, head) for name, head in heads.items()],
    }
    text = json.dumps(told, indent=2, ensure_ascii=False)
    (folder / _CONFIG).write_text(text, encoding="utf-8")
    write_own(folder / _WEIGHTS, fusion, heads)


def load_joined(
    folder: Path, *, attention: Attention = "auto", allow_pickle: bool = False
) -> Network:
    """Opens a folder that `save_joined` wrote.

    Args:
        folder: The folder.
        attention: How attention is computed. Default `auto`: transformers' choice.
        allow_pickle: Whether pickled weights of encoders may be read, with torch's restricted
            reader. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If a part is missing or cannot be read.
    """
    told = _read(folder / _CONFIG)
    parts: dict[str, Encoder] = {
        column: load_part(
            column,
            folder / column,
            told["columns"][column],
            attention=attention,
            allow_pickle=allow_pickle,
        )
        for column in told["order"]
    }
    encoder = JoinedEncoder(parts, told["width"])
    fusion = build(COLUMN_FUSIONS, told["fusion"], f"{folder / _CONFIG}: fusion")
    fused = fusion.build(encoder.columns, 0)
    heads = {each["name"]: head_of(fused.dim, each) for each in told["heads"]}
    read_own(folder / _WEIGHTS, fused, heads)
    return Network({told["name"]: encoder}, heads, fused).eval()


def _read(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(Problem(str(path), f"cannot be read: {error}")) from error
    return {"model_type": None, **told}
