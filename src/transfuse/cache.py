"""Where Transfuse keeps what it can make again: samples, encoded features, the engine's choice."""

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The cache folder: `$TRANSFUSE_CACHE`, or `transfuse` in the user's cache folder."""
    given = os.environ.get("TRANSFUSE_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "transfuse"
