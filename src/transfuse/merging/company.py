"""What lies beside the weights of a model and belongs to the merged one as well."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transfuse.files import write_whole

__all__ = ["copy_company"]

_KINDS = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_STRANGERS = (
    # True of the model that was merged, not of what it has become.
    "transfuse.json",
    "merge.json",
    "trainer_state.json",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "model_card.json",
)


def copy_company(source: Path, target: Path, config: Mapping[str, Any] | None) -> None:
    """Copy tokenizer, image processor and settings; write `config.json`.

    Args:
        source: The folder of a model.
        target: The folder of the merged model.
        config: What `config.json` is to say; None for no such file.
    """
    for path in _company(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    if config is not None:
        text = json.dumps(config, indent=2, ensure_ascii=False)
        write_whole(target / "config.json", text + "\n")


def _company(folder: Path) -> Iterator[Path]:
    # One level down lie the settings of sentence-transformers' modules.
    for path in sorted([*folder.glob("*"), *folder.glob("[0-9]_*/*")]):
        own = path.parent == folder and path.name in (*_STRANGERS, "config.json")
        known = path.suffix in _KINDS and not path.name.endswith(".index.json")
        if known and not own and path.is_file():
            yield path
