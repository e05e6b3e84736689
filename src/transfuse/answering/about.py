"""What a model folder says of itself."""

import json
from pathlib import Path
from typing import Any

from transfuse.errors import ModelError, Problem

__all__ = ["ABOUT", "FORMAT", "ROWS", "read_about"]

ABOUT = "transfuse.json"
ROWS = "training_rows.safetensors"
FORMAT = 1


def read_about(folder: Path) -> dict[str, Any]:
    """The contents of a folder's `transfuse.json`.

    Args:
        folder: A folder that Transfuse wrote.

    Raises:
        ModelError: If it is not one, or a newer version wrote it.
    """
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        # A run keeps its model in a folder of this name.
        inside = folder / "model"
        meant = (inside / ABOUT).is_file()
        raise ModelError(
            Problem(
                str(folder),
                "holds no model of Transfuse" if folder.is_dir() else "no such folder",
                f"a folder with {ABOUT}",
                f"Did you mean '{inside}'?" if meant else "`transfuse run` writes one.",
            )
        ) from None
    except ValueError as error:  # not JSON, or not even UTF-8
        raise ModelError(Problem(str(folder / ABOUT), f"not JSON: {error}")) from None
    if not isinstance(about, dict):
        raise ModelError(
            Problem(str(folder / ABOUT), "not an object", "what a model's folder says")
        )
    if about.get("format") != FORMAT:
        raise ModelError(
            Problem(
                str(folder),
                f"has format {about.get('format')}",
                f"format {FORMAT}",
                "Update Transfuse.",
            )
        )
    return about
