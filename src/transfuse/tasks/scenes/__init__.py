"""What detection and segmentation share with nobody else; `matching.py` is the file to begin with.

The tasks themselves are `tasks/detection.py` and `tasks/segmentation.py`.
"""

from transfuse.tasks.scenes.matching import assigned, generalised_iou, match_costs
from transfuse.tasks.scenes.targets import decode_mask, encode_boxes, encode_masks

__all__ = [
    "assigned",
    "decode_mask",
    "encode_boxes",
    "encode_masks",
    "generalised_iou",
    "match_costs",
]
