"""Which query answers for which box: the matching of DETR (Carion et al., 2020, arXiv:2005.12872).

Boxes are centre x, centre y, width and height, as shares of the picture.
"""

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["assigned", "generalised_iou", "match_costs"]

_SMALLEST = 1e-7


def generalised_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Generalised intersection over union (Rezatofighi et al., 2019, arXiv:1902.09630).

    Args:
        boxes: [..., 4].
        others: [..., 4]; leading axes are broadcast against those of `boxes`.

    Returns:
        From -1, far apart, to 1, equal; [...].
    """
    low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    low_2, high_2 = others[..., :2] - others[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2
    shared = (torch.minimum(high, high_2) - torch.maximum(low, low_2)).clamp(min=0).prod(-1)
    union = boxes[..., 2:].prod(-1) + others[..., 2:].prod(-1) - shared
    hull = (torch.maximum(high, high_2) - torch.minimum(low, low_2)).prod(-1)
    iou = shared / union.clamp(min=_SMALLEST)
    return iou - (hull - union) / hull.clamp(min=_SMALLEST)


def match_costs(
    chances: torch.Tensor,
    boxes: torch.Tensor,
    truth: torch.Tensor,
    *,
    box_weight: float,
    iou_weight: float,
) -> torch.Tensor:
    """What it costs to let a query answer for a box.

    Args:
        chances: Probability of each class, [n, Q, C].
        boxes: The queries' boxes, [n, Q, 4].
        truth: Class and box of each true box, [n, M, 5]; the class of padding is below 0.
        box_weight: Weight of the distance of the box's four numbers.
        iou_weight: Weight of the generalised IoU.

    Returns:
        [n, Q, M]; the columns of padding mean nothing.
    """
    classes = truth[..., 0].long().clamp(min=0)
    of_class = chances.gather(2, classes[:, None].expand(-1, chances.shape[1], -1))
    distance = torch.cdist(boxes, truth[..., 1:], p=1)
    overlap = generalised_iou(boxes[:, :, None], truth[:, None, :, 1:])
    return box_weight * distance - iou_weight * overlap - of_class


def assigned(costs: NDArray[np.float64], real: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The cheapest one-to-one matching of each picture (the Hungarian method).

    Args:
        costs: [n, Q, M].
        real: Which boxes are there to be found, [n, M]; at most Q in a picture.

    Returns:
        One line for each match: picture, query, box; int64 [matches, 3].
    """
    # Other tasks need not wait for it.
    from scipy.optimize import linear_sum_assignment

    found = [np.empty((0, 3), np.int64)]
    for row in np.flatnonzero(real.any(axis=1)):
        places = np.flatnonzero(real[row])
        queries, columns = linear_sum_assignment(costs[row][:, places])
        found.append(np.stack([np.full(len(queries), row), queries, places[columns]], axis=1))
    return np.concatenate(found)
