"""What looks at places in a picture: feature maps side by side, heads for boxes and for masks.

Read `pyramid.py` first: it says what the heads are given.
"""

from transfuse.models.scenes.base import PlacesHead
from transfuse.models.scenes.boxes import DetectionHead
from transfuse.models.scenes.masks import SegmentationHead
from transfuse.models.scenes.native import NativePlacesHead, native_scenes
from transfuse.models.scenes.pyramid import Level, Pyramid, levels_of, unpacked
from transfuse.models.scenes.whole import seeing_all

__all__ = [
    "DetectionHead",
    "Level",
    "NativePlacesHead",
    "PlacesHead",
    "Pyramid",
    "SegmentationHead",
    "levels_of",
    "native_scenes",
    "seeing_all",
    "unpacked",
]
