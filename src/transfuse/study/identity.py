"""What makes a run of a study the run that it is: a run that is finished is not done again."""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from transfuse.study.jobs import Planned
from transfuse.study.runs import RunKey
from transfuse.transfer import Prepared
from transfuse.transfer.start import content_of, model_folders, stage_files

__all__ = ["identities"]


def identities(plans: Sequence[Planned], prepared: Prepared) -> dict[RunKey, str]:
    """Fingerprint of every run: its plan, its data, and the runs that it begins from.

    Args:
        plans: The runs, each after those that it begins from.
        prepared: The data.
    """
    names = ("torch", "transformers", "peft", "scikit-learn")
    versions = {name: version(name) for name in names}
    # All rows and all weights are read for these, so once for the study and not for each run.
    data = prepared.fingerprint
    contents: dict[tuple[Path, ...], str] = {}
    found: dict[RunKey, str] = {}
    for each in plans:
        plan = each.said or each.plan
        folders = (*model_folders(plan), *stage_files(plan))
        if folders not in contents:
            contents[folders] = content_of(folders)
        before = [found[key] for key in each.after]
        told = [plan.work(), data, contents[folders], versions, *before]
        text = json.dumps(told, sort_keys=True, default=str)
        found[each.key] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return found
