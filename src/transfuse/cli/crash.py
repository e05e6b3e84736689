"""The file that a report of a mistake in Transfuse needs."""

import platform
import shlex
import tempfile
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from transfuse.cli.show import version_text

__all__ = ["write_crash"]


def write_crash(error: Exception, arguments: Sequence[str], folder: Path | None) -> Path:
    """Keep a traceback with what is needed to understand it.

    Args:
        error: What was raised.
        arguments: The command's arguments.
        folder: The command's output folder; where there is none, the file goes to the system's
            temporary folder.

    Returns:
        The file.
    """
    if folder is None or not folder.is_dir():
        folder = Path(tempfile.gettempdir())
    path = folder / f"transfuse-error-{datetime.now():%Y%m%d-%H%M%S}.txt"
    about = [
        f"command: {shlex.join(['transfuse', *arguments])}",
        version_text(),
        f"Python {platform.python_version()} on {platform.platform()}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    path.write_text("\n".join(about), encoding="utf-8")
    return path
