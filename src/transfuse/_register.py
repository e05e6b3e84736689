"""Makes plain transformers open the folders that Transfuse writes, at no cost until it is used.

`import transfuse` must stay light, so transformers is not imported here: the registration waits
until somebody imports it, or happens at once where somebody has.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

__all__ = ["register_when_transformers_loads"]

_AUTO = "transformers.models.auto"


def register_when_transformers_loads() -> None:
    """Registers Transfuse's text classifiers with `AutoConfig` and their Auto model.

    After `import transfuse`, `AutoModelForSequenceClassification.from_pretrained(folder)` and
    `pipeline("text-classification", folder)` open a folder whose pooling is not the
    architecture's own, whose encoder is static, or that holds several tasks.
    """
    waiting: dict[str, Callable[[ModuleType], None]] = {}
    for name, register in (
        (f"{_AUTO}.configuration_auto", _register_config),
        (f"{_AUTO}.modeling_auto", _register_model),
    ):
        if name in sys.modules:
            register(sys.modules[name])
        else:
            waiting[name] = register
    if waiting:
        sys.meta_path.insert(0, _Afterwards(waiting))


class _Afterwards(MetaPathFinder):
    """Finds modules as everybody else does, and calls a function once they are loaded.

    Args:
        waiting: The functions, by the modules' names.
    """

    def __init__(self, waiting: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._waiting = waiting
        self._asking: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Hands on what the other finders find, with a loader that calls the function."""
        then = self._waiting.get(name)
        if then is None or name in self._asking:
            return None
        # Marked, so that this asks the other finders and not this one again.
        self._asking.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._asking.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, then)
        return spec


class _Loader(Loader):
    """Loads a module as its own loader does, which it has again afterwards."""

    def __init__(self, loader: Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader, and then the function."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)


def _register_config(module: ModuleType) -> None:
    from transfuse._hub_config import (
        MODEL_TYPE,
        STATIC_MODEL_TYPE,
        TASKS_MODEL_TYPE,
        StaticConfig,
        TransfuseConfig,
        TransfuseTasksConfig,
    )
    from transfuse._hub_scenes import SCENES_MODEL_TYPE, TransfuseScenesConfig

    module.AutoConfig.register(SCENES_MODEL_TYPE, TransfuseScenesConfig, exist_ok=True)
    module.AutoConfig.register(MODEL_TYPE, TransfuseConfig, exist_ok=True)
    module.AutoConfig.register(TASKS_MODEL_TYPE, TransfuseTasksConfig, exist_ok=True)
    module.AutoConfig.register(STATIC_MODEL_TYPE, StaticConfig, exist_ok=True)


def _register_model(_module: ModuleType) -> None:
    # Importing a file registers its class, whichever of the two is imported first.
    import transfuse.models.hub
    import transfuse.models.hub_static
    import transfuse.models.hub_tasks
    import transfuse.models.scenes.hub  # noqa: F401
