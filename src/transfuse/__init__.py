"""Transfuse: move what a pretrained model knows into the model you need, and prove that it helped.

The public names load on first use, so that `import transfuse` costs next to nothing. It also makes
the models that Transfuse saves known to transformers, as soon as that is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from transfuse._register import register_when_transformers_loads

if TYPE_CHECKING:
    from transfuse.answering import load_model
    from transfuse.data import Table, read, sample
    from transfuse.recipe import read_recipe
    from transfuse.report import write_report
    from transfuse.study import compare, run

__all__ = [
    "Table",
    "compare",
    "load_model",
    "read",
    "read_recipe",
    "run",
    "sample",
    "write_report",
]

_HOMES = {
    "Table": "transfuse.data",
    "compare": "transfuse.study",
    "load_model": "transfuse.answering",
    "read": "transfuse.data",
    "read_recipe": "transfuse.recipe",
    "sample": "transfuse.data",
    "run": "transfuse.study",
    "write_report": "transfuse.report",
}

register_when_transformers_loads()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'transfuse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
