"""Box arithmetic on numpy arrays. Boxes are `[n, 4]` yxyx unless a name ends in its own format."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating]


def xywh_to_yxyx(boxes_xywh: Boxes) -> Boxes:
    """`[n, 4]` x, y, width, height (COCO's order) to `[n, 4]` ymin, xmin, ymax, xmax, same units."""
    x, y, w, h = np.moveaxis(np.asarray(boxes_xywh).reshape(-1, 4), -1, 0)
    return np.stack([y, x, y + h, x + w], axis=-1)


def yxyx_to_xywh(boxes: Boxes) -> Boxes:
    """`[n, 4]` ymin, xmin, ymax, xmax to `[n, 4]` x, y, width, height, same units."""
    ymin, xmin, ymax, xmax = np.moveaxis(np.asarray(boxes).reshape(-1, 4), -1, 0)
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=-1)


def clip(boxes: Boxes, height: float, width: float) -> Boxes:
    """Boxes cut at the border of an image of `height` x `width` pixels; a box outside becomes degenerate."""
    limits = np.asarray([height, width, height, width], dtype=np.asarray(boxes).dtype)
    return np.clip(boxes, 0, limits)


def area(boxes: Boxes) -> NDArray[np.floating]:
    """`[n]` area in squared units of the boxes; 0 for a box whose corners are swapped."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(boxes: Boxes, others: Boxes) -> NDArray[np.floating]:
    """`[n, m]` intersection over union of every pair; 0 where the union is empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(high - low, 0)
    overlap = sides[..., 0] * sides[..., 1]
    union = area(boxes)[:, None] + area(others)[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
