"""What of a merge is done, so that the same command goes on after a kill."""

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from transfuse.errors import ModelError, Problem
from transfuse.files import write_whole
from transfuse.merging.weights import Weights

__all__ = ["JOURNAL", "RECORD", "Journal", "fingerprint"]

JOURNAL = ".merge.journal"
RECORD = "merge.json"
"""What stays in the folder: the method, the inputs, and what was found."""


def fingerprint(models: Iterable[Weights], options: Mapping[str, Any]) -> str:
    """What a merge is made of, as a number: files by place, size and time of change, and options.

    Args:
        models: The inputs.
        options: All else that decides about the result, as JSON can hold it.
    """
    digest = blake2b(digest_size=16)
    digest.update(json.dumps(options, sort_keys=True).encode())
    for model in models:
        for file in model.files:
            about = file.stat()
            digest.update(f"\n{file.resolve()} {about.st_size} {about.st_mtime_ns}".encode())
        digest.update(repr(sorted(model.tensors.items())).encode())
    return digest.hexdigest()


class Journal:
    """The groups of tensors that are written, one line each after the fingerprint.

    Args:
        folder: The merged model's folder.
        mark: The fingerprint of this merge.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self.path = folder / JOURNAL
        self.mark = mark
        self.done: set[int] = set()
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        if lines and lines[0] == mark:
            self.done = {int(line) for line in lines[1:] if line.isdigit()}
            self.resumed = True
        else:
            self.resumed = False

    def begin(self) -> None:
        """Start anew, or go on where the journal ends."""
        if not self.resumed:
            write_whole(self.path, self.mark + "\n")

    def note(self, groups: Iterable[int], files: Iterable[Path]) -> None:
        """These groups are done.

        Args:
            groups: Their numbers.
            files: The files they were written to, which reach the disk before the journal does.
        """
        for file in files:
            with file.open("rb") as written:
                os.fsync(written.fileno())
        with self.path.open("a", encoding="utf-8") as journal:
            journal.writelines(f"{group}\n" for group in groups)
            journal.flush()
            os.fsync(journal.fileno())

    def end(self, record: Mapping[str, Any]) -> None:
        """All is done: a record stays, the journal goes.

        Args:
            record: What is to be known of the merge, as JSON can hold it.
        """
        told = {"fingerprint": self.mark, **record}
        text = json.dumps(told, indent=2, ensure_ascii=False)
        write_whole(self.path.parent / RECORD, text)
        self.path.unlink(missing_ok=True)

    def finished(self) -> dict[str, Any] | None:
        """The record of this very merge, if it was done before.

        Raises:
            ModelError: If another model is in the folder.
        """
        # What is whole there while this merge's journal is open was named by this merge.
        folder = self.path.parent
        record = folder / RECORD
        if record.is_file():
            try:
                told = json.loads(record.read_text(encoding="utf-8"))
            except ValueError:
                told = {}
            if isinstance(told, dict) and told.get("fingerprint") == self.mark:
                return told
        if not self.resumed and any(folder.glob("*.safetensors")):
            raise ModelError(
                Problem(
                    str(folder),
                    "holds another model",
                    "a new folder, or that of the same merge",
                    "Name another folder, or remove this one.",
                )
            )
        return None
