"""Several tasks over one encoder of pictures or sounds, to folders and back.

The encoder is a folder of its own, named for its column, that opens as any other model of its kind
does. Heads, and the fusion before them, are `tasks.safetensors` beside it, and `config.json` says
how they belong together. Tasks over a text encoder have a folder that plain transformers opens
(`task_folder.py`).
"""

import json
from pathlib import Path
from typing import Any

from transfuse.errors import ModelError, Problem
from transfuse.models.audio import AudioEncoder, SoundEncoder
from transfuse.models.fusion import FUSIONS, TaskVectors
from transfuse.models.heads import LinearHead
from transfuse.models.images import ImageEncoder
from transfuse.models.joined.heads import head_of, head_told, read_own, write_own
from transfuse.models.joined.parts import load_part, save_part
from transfuse.models.network import Network, OnlyOne
from transfuse.models.task_folder import has_tasks
from transfuse.recipe.methods import build, spec_of

__all__ = ["is_several", "load_several", "save_several"]

_KIND = "transfuse-tasks"
_CONFIG = "config.json"
_WEIGHTS = "tasks.safetensors"


def is_several(made: Network | Path) -> bool:
    """Whether a network needs such a folder, or a folder is one.

    Args:
        made: The network, or the folder.
    """
    if isinstance(made, Path):
        return (made / _WEIGHTS).is_file() and (made / _CONFIG).is_file()
    if len(made.encoders) != 1 or not has_tasks(made):
        return False
    return isinstance(made.encoder, ImageEncoder | AudioEncoder | SoundEncoder)


def save_several(network: Network, folder: Path) -> None:
    """Writes a network of several tasks into a folder.

    Args:
        network: One encoder of pictures or sounds, and a linear head for each task.
        folder: Where to write; created if need be.

    Raises:
        ModelError: If a head is another, or the encoder cannot be written.
    """
    heads = {name: head for name, head in network.heads.items() if isinstance(head, LinearHead)}
    if len(heads) < len(network.heads):
        kinds = ", ".join(sorted({type(head).__name__ for head in network.heads.values()}))
        raise ModelError(
            Problem("network", f"its heads are {kinds}", "a linear head for each task")
        )
    folder.mkdir(parents=True, exist_ok=True)
    (column,), encoder, fusion = network.encoders, network.encoder, network.fusion
    role = str(encoder.reads[0])
    told = {
        "model_type": _KIND,
        "column": column,
        "role": role,
        "encoder": save_part(encoder, folder / role),
        "fusion": spec_of(FUSIONS, fusion.options) if isinstance(fusion, TaskVectors) else None,
        "heads": [head_told(name, head) for name, head in heads.items()],
    }
    text = json.dumps(told, indent=2, ensure_ascii=False)
    (folder / _CONFIG).write_text(text, encoding="utf-8")
    write_own(folder / _WEIGHTS, fusion, heads)


def load_several(folder: Path, *, allow_pickle: bool = False) -> Network:
    """Opens a folder that `save_several` wrote.

    Args:
        folder: The folder.
        allow_pickle: Whether pickled weights of the encoder may be read, with torch's restricted
            reader. Default False.

    Returns:
        The network, in evaluation mode.

    Raises:
        ModelError: If a part is missing or cannot be read.
    """
    try:
        told: dict[str, Any] = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(Problem(str(folder / _CONFIG), f"cannot be read: {error}")) from error
    role = told["role"]
    encoder = load_part(role, folder / role, told["encoder"], allow_pickle=allow_pickle)
    names = [each["name"] for each in told["heads"]]
    dim, fusion = encoder.dim, None
    if told["fusion"] is not None:
        options = build(FUSIONS, told["fusion"], f"{folder / _CONFIG}: fusion")
        fusion = options.build(dim, names, seed=0)
        dim = fusion.dim
    heads = {each["name"]: head_of(dim, each) for each in told["heads"]}
    read_own(folder / _WEIGHTS, fusion or OnlyOne(), heads)
    return Network({told["column"]: encoder}, heads, fusion).eval()
