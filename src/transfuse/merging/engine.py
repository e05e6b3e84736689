"""Merging folders: weights stream from files through a few buffers into files.

    merge_folders(Linear(), [first, second], output)

What happens to each tensor is decided first (`plan.py`) and where it will lie (`layout.py`). Then
groups of tensors are surveyed and mixed run by run by a few threads (`making.py`), and a journal
remembers which groups are written.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from transfuse.merging.base import Method
from transfuse.merging.company import copy_company
from transfuse.merging.crew import Crew, cores
from transfuse.merging.journal import Journal, fingerprint
from transfuse.merging.layout import lay_out
from transfuse.merging.making import Merge
from transfuse.merging.plan import OutDtype, plan_merge, read_config
from transfuse.merging.report import MergeReport, Tell
from transfuse.merging.weights import open_weights

__all__ = ["SHARD_BYTES", "merge_folders"]

SHARD_BYTES = 5_000_000_000
"""Bytes of tensors in one file."""

_MOST_THREADS = 8

_VERSION = 2
"""Changes with what the same options lead to, so that no half of an older merge is gone on with."""


def merge_folders(
    method: Method,
    folders: Sequence[Path],
    output: Path,
    *,
    base: Path | None = None,
    shard_bytes: int = SHARD_BYTES,
    threads: int | None = None,
    out_dtype: OutDtype | None = None,
    tell: Tell | None = None,
) -> MergeReport:
    """Merge Hugging Face folders into one.

    Tokenizer and config come from the first model. The bytes of the merged tensors depend on the
    models and the options alone: not on threads, shards or, where the method is symmetric, the
    order of the models. Called again after a kill, it goes on where it was.

    Args:
        method: How to merge.
        folders: The models, each with `model.safetensors` or shards and their index.
        output: The folder to write, a new one or that of the same merge.
        base: The model that the others were tuned from. Default: none.
        shard_bytes: Bytes of tensors in one file. Default: 5 GB.
        threads: How many runs are worked on at a time. Default: one for each core, up to 8.
        out_dtype: What floating-point tensors are stored as. Default: as in the first model.
        tell: Hears how many tensors are done. Default: nobody.

    Returns:
        What was done, with notes on what is not as one might expect.

    Raises:
        ModelError: If the models do not go together, a file is damaged, or the folder holds
            another model.
    """
    began = time.monotonic()
    output = Path(output)
    method.check(len(folders), base is not None)
    models = [open_weights(Path(folder)) for folder in folders]
    before = None if base is None else open_weights(Path(base))
    plan = plan_merge(models, before, needs_base=method.needs_base, out_dtype=out_dtype)
    layout = lay_out(output, {job.name: job.shape for job in plan.jobs}, shard_bytes)
    options = {
        "version": _VERSION,
        "method": type(method).__name__,
        "options": asdict(method),  # type: ignore[call-overload]
        "shards": shard_bytes,
        "dtype": out_dtype,
        # They name the rows of heads, and the first one is copied.
        "configs": [read_config(model.folder) for model in models],
    }
    journal = Journal(output, fingerprint([*models, *filter(None, [before])], options))
    report = MergeReport(
        folder=output,
        method=options["method"],
        options=options["options"],
        models=tuple(model.folder for model in models),
        base=None if before is None else before.folder,
        tensors=len(plan.jobs),
        parameters=sum(place.size for place in layout.places.values()),
        seconds=0.0,
        resumed=journal.resumed,
        notes=plan.notes,
    )
    told = journal.finished()
    if told is not None:
        return replace(report, resumed=True, notes=tuple(told.get("notes", plan.notes)))
    layout.prepare(own=journal.resumed)
    journal.begin()
    with Crew(threads or min(cores(), _MOST_THREADS)) as crew:
        broken = Merge(method, plan, layout, crew).run(journal, tell)
    if broken:
        more = f"not all weights are finite in {', '.join(sorted(broken)[:5])}"
        report = replace(report, notes=(*report.notes, more))
    copy_company(models[0].folder, output, plan.config)
    layout.finish()
    report = replace(report, seconds=time.monotonic() - began)
    journal.end(report.to_dict())
    return report
