"""Where a named model is: a folder, an installed package that carries one, or the hub."""

import difflib
import json
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from transfuse.errors import ModelError, Problem

__all__ = ["fetch_model", "find_model", "pooling_in", "transformer_folder", "weights_in"]

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "1_Pooling/*"]


def find_model(name: str | Path) -> Path | str:
    """Finds a model by name, without touching the network.

    Args:
        name: A folder; else the name of an installed package that carries a model folder (with
            `-` or `_`); else an id on the Hugging Face hub.

    Returns:
        The folder, or the hub id.

    Raises:
        ModelError: If it is a folder without a model, or can be none of the three.
    """
    text = str(name)
    folder = Path(text).expanduser()
    if folder.is_dir():
        if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
            return folder
        raise ModelError(
            Problem(text, "this folder holds no model", "a config.json", _inside(folder))
        )
    if folder.is_file():
        raise ModelError(
            Problem(text, "this is a file", "a model folder", f"Try {str(folder.parent)!r}.")
        )
    carried = _in_package(text)
    if carried is not None:
        return carried
    if isinstance(name, Path) or text.startswith((".", "~", "/")) or not _HUB_NAME.fullmatch(text):
        raise ModelError(
            Problem(text, "there is no such folder", fix=_near(text, _neighbours(folder)))
        )
    return text


def fetch_model(name: str | Path) -> Path:
    """Finds a model and brings it here where it is on the hub.

    Args:
        name: As for `find_model`.

    Returns:
        A local folder.

    Raises:
        ModelError: If it cannot be found or fetched.
    """
    found = find_model(name)
    if isinstance(found, Path):
        return found
    close = _near(found, _installed(), otherwise="")
    try:
        return Path(snapshot_download(found, allow_patterns=_FETCHED, ignore_patterns=["onnx/*"]))
    except LocalEntryNotFoundError:
        raise ModelError(
            Problem(
                found,
                "it is no folder and no installed package, and the Hugging Face hub cannot be "
                "reached to look for it there",
                fix=close or "Give a local folder, install the package, or connect and try again.",
            )
        ) from None
    except GatedRepoError:
        raise ModelError(
            Problem(
                found,
                "the hub gives this model only to those who accepted its terms",
                fix="Accept them on the model's page and log in with `hf auth login`.",
            )
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(
            Problem(
                found,
                "no folder, installed package or public hub model has this name",
                fix=close or "Check the spelling; hub ids look like owner/name.",
            )
        ) from None
    except HfHubHTTPError as error:
        raise ModelError(
            Problem(found, f"the Hugging Face hub answered: {error}", fix="Try again later.")
        ) from None


def transformer_folder(folder: Path) -> Path:
    """The folder with the transformer's own files, inside a sentence-transformers folder.

    Args:
        folder: A model folder.

    Returns:
        The folder itself, or the one its modules.json names first.
    """
    modules = _json(folder / "modules.json")
    if isinstance(modules, list) and modules and not (folder / "config.json").is_file():
        return folder / str(modules[0].get("path", ""))
    return folder


def pooling_in(folder: Path) -> str | None:
    """The pooling that a sentence-transformers folder asks for.

    Args:
        folder: A model folder.

    Returns:
        `mean`, `cls` or `last`; None where the folder says nothing.

    Raises:
        ModelError: If it asks for a pooling that Transfuse does not have.
    """
    modules = _json(folder / "modules.json")
    places = [
        str(module.get("path", ""))
        for module in (modules if isinstance(modules, list) else [])
        if str(module.get("type", "")).endswith("Pooling")
    ]
    settings = _json(folder / (places[0] if places else "1_Pooling") / "config.json")
    if not isinstance(settings, dict):
        return None
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [
            name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            for name, wanted in settings.items()
            if name.startswith("pooling_mode_") and wanted is True
        ]
    modes = [modes] if isinstance(modes, str) else list(modes)
    known = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
    if len(modes) != 1 or modes[0] not in known:
        raise ModelError(
            Problem(
                str(folder),
                f"this model pools by {' and '.join(map(str, modes)) or 'nothing'}",
                "one of mean, cls, last",
                "Name the pooling you want with `pooling`.",
            )
        )
    return known[modes[0]]


def weights_in(folder: Path, *, allow_pickle: bool = False) -> bool:
    """Checks that a folder holds weights that are safe to read.

    Args:
        folder: A folder with a transformer's files.
        allow_pickle: Whether pickled weights may be read, by torch's `weights_only` reader.
            Default False.

    Returns:
        Whether the weights are safetensors.

    Raises:
        ModelError: If there are no weights, or only pickled ones without permission.
    """
    if any(folder.glob("*.safetensors")):
        return True
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if not pickled:
        raise ModelError(
            Problem(str(folder), "there are no weights beside config.json", "model.safetensors")
        )
    if not allow_pickle:
        raise ModelError(
            Problem(
                str(folder),
                f"its weights are pickled ({pickled[0]}), and a pickle can run any program "
                "while it is read",
                "model.safetensors",
                "Convert it once with transformers (save_pretrained writes safetensors), or pass "
                "allow_pickle=True to read it with torch's restricted reader.",
            )
        )
    return False


def _in_package(name: str) -> Path | None:
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    configs = [
        Path(str(package.locate_file(file)))
        for file in package.files or ()
        if file.name == "config.json"
    ]
    folders = sorted((path.parent for path in configs), key=lambda path: len(path.parts))
    return next((path for path in folders if any(path.glob("*.safetensors"))), None)


def _installed() -> list[str]:
    """Installed packages that carry a config.json; read only when a name was not found."""
    return sorted(
        {
            package.name
            for package in metadata.distributions()
            if any(file.name == "config.json" for file in package.files or ())
        }
    )


def _neighbours(folder: Path) -> list[str]:
    parent = folder.parent
    return (
        [str(path) for path in sorted(parent.iterdir()) if path.is_dir()] if parent.is_dir() else []
    )


def _inside(folder: Path) -> str:
    deeper = sorted(str(path.parent) for path in folder.glob("*/config.json"))
    return f"Did you mean {deeper[0]!r}?" if deeper else ""


def _near(word: str, known: Iterable[str], otherwise: str = "Check the spelling.") -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else otherwise


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
