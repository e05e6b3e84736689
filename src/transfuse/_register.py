"""Makes plain transformers open the folders that Transfuse writes, at no cost until it is used.

`import transfuse` must stay light, so transformers is not imported here: the registration waits
until somebody imports it, or happens at once where somebody has.
"""

from types import ModuleType

import wrapt

__all__ = ["register_when_transformers_loads"]


def register_when_transformers_loads() -> None:
    """Registers Transfuse's classifiers with `AutoConfig` and their Auto model.

    After `import transfuse`, `AutoModelForSequenceClassification.from_pretrained(folder)` and
    `pipeline("text-classification", folder)` open a folder whose pooling is not the
    architecture's own, whose encoder is static, or that holds several tasks.
    """
    auto = "transformers.models.auto"
    wrapt.register_post_import_hook(_register_config, f"{auto}.configuration_auto")
    wrapt.register_post_import_hook(_register_model, f"{auto}.modeling_auto")


def _register_config(module: ModuleType) -> None:
    from transfuse._hub_config import (
        MODEL_TYPE,
        STATIC_MODEL_TYPE,
        TASKS_MODEL_TYPE,
        StaticConfig,
        TransfuseConfig,
        TransfuseTasksConfig,
    )
    from transfuse._hub_images import (
        IMAGE_MODEL_TYPE,
        LITE_MODEL_TYPE,
        EfficientNetLiteConfig,
        TransfuseImageConfig,
    )

    module.AutoConfig.register(MODEL_TYPE, TransfuseConfig, exist_ok=True)
    module.AutoConfig.register(TASKS_MODEL_TYPE, TransfuseTasksConfig, exist_ok=True)
    module.AutoConfig.register(STATIC_MODEL_TYPE, StaticConfig, exist_ok=True)
    module.AutoConfig.register(IMAGE_MODEL_TYPE, TransfuseImageConfig, exist_ok=True)
    module.AutoConfig.register(LITE_MODEL_TYPE, EfficientNetLiteConfig, exist_ok=True)


def _register_model(_module: ModuleType) -> None:
    # Importing a file registers its class, whichever of the two is imported first.
    import transfuse.models.hub
    import transfuse.models.hub_static
    import transfuse.models.hub_tasks
    import transfuse.models.images.efficientnet_lite
    import transfuse.models.images.hub  # noqa: F401
