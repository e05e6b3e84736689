"""What a command tells the outermost level about itself, for when it ends early."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Session"]


@dataclass
class Session:
    """One call of the command line; commands reach it as `context.obj`."""

    output: Path | None = None
    """The folder that the command writes into."""

    resumable: bool = False
    """Whether the same command, run again, goes on where it stopped."""
