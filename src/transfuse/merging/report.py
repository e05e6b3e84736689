"""What a merge has done, as Python callers and other programs read it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["MergeReport", "Tell"]


class Tell(Protocol):
    """Hears how far long work has come."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Told after each step.

        Args:
            what: What is being done.
            done: Steps that are done.
            total: Steps in all.
        """


@dataclass(frozen=True)
class MergeReport:
    """What a merge has done.

    Args:
        folder: The merged model's folder.
        method: The name of the method's class.
        options: Its options.
        models: The folders of the models.
        base: The folder of the base; None without one.
        tensors: How many tensors were written.
        parameters: How many parameters they have.
        seconds: How long it took, this time.
        resumed: Whether an earlier run had done a part of it, or all.
        notes: What a person should know.
    """

    folder: Path
    method: str
    options: dict[str, Any]
    models: tuple[Path, ...]
    base: Path | None
    tensors: int
    parameters: int
    seconds: float
    resumed: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        told = asdict(self)
        told["folder"] = str(self.folder)
        told["models"] = [str(folder) for folder in self.models]
        told["base"] = None if self.base is None else str(self.base)
        told["notes"] = list(self.notes)
        return told
