"""Losses on how much a predicted box overlaps its target: IoU, GIoU, DIoU and CIoU."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
from keras import ops

from efficientdet.anchors import decode


def iou_loss(kind: str, predictions: keras.KerasTensor, targets: keras.KerasTensor) -> keras.KerasTensor:
    """`[...]` float32 loss of every predicted box `[..., 4]` against its target `[..., 4]`, both yxyx in one unit.

    Args:
      kind: `iou`, 1 minus intersection over union; to which `giou` adds the share of the hull that neither box
        covers (arXiv 1902.09630), `diou` the squared distance of the centres over the squared diagonal of the
        hull, and `ciou` this and how far the aspect ratios differ (both arXiv 1911.08287).
      predictions: a side below 0 counts as 0.
      targets: a box without area, as of background, costs nothing.
    """
    overlap = _area(
        ops.maximum(predictions[..., :2], targets[..., :2]), ops.minimum(predictions[..., 2:], targets[..., 2:])
    )
    target_area = _area(targets[..., :2], targets[..., 2:])
    union = _area(predictions[..., :2], predictions[..., 2:]) + target_area - overlap
    iou = _ratio(overlap, union)
    return ops.where(target_area > 0.0, 1.0 - iou + _PENALTIES[kind](predictions, targets, iou, union), 0.0)


def decoded_iou_loss(
    kind: str, deltas: keras.KerasTensor, target_deltas: keras.KerasTensor, anchor_boxes: keras.KerasTensor
) -> keras.KerasTensor:
    """`[b, A]` float32 `iou_loss` of the boxes that box deltas `[b, A, 4]` stand for; 0 for background.

    Both boxes lose the coordinate whose target delta is exactly 0, as in google/automl.
    """
    given = target_deltas != 0.0
    # Background must not reach the exponential: infinity times 0 would poison the sum.
    deltas = ops.where(ops.any(given, axis=-1, keepdims=True), deltas, 0.0)
    mask = ops.cast(given, "float32")
    return iou_loss(kind, decode(deltas, anchor_boxes) * mask, decode(target_deltas, anchor_boxes) * mask)


def _no_penalty(predictions: keras.KerasTensor, *_: keras.KerasTensor) -> keras.KerasTensor:
    return ops.zeros_like(predictions[..., 0])


def _empty_hull(
    predictions: keras.KerasTensor, targets: keras.KerasTensor, iou: keras.KerasTensor, union: keras.KerasTensor
) -> keras.KerasTensor:
    height, width = _hull(predictions, targets)
    return _ratio(height * width - union, height * width)


def _distance(
    predictions: keras.KerasTensor, targets: keras.KerasTensor, iou: keras.KerasTensor, union: keras.KerasTensor
) -> keras.KerasTensor:
    apart = (predictions[..., 2:] + predictions[..., :2] - targets[..., 2:] - targets[..., :2]) / 2.0
    height, width = _hull(predictions, targets)
    return _ratio(ops.sum(apart**2, axis=-1), height**2 + width**2)


def _distance_and_shape(
    predictions: keras.KerasTensor, targets: keras.KerasTensor, iou: keras.KerasTensor, union: keras.KerasTensor
) -> keras.KerasTensor:
    turn = (_angle(targets) - _angle(predictions)) / (math.pi / 2.0)
    shape = turn**2
    # The paper holds the weight of `shape` constant in the backward pass; google/automl differentiates it too.
    return _distance(predictions, targets, iou, union) + _ratio(shape, 1.0 - iou + shape) * shape


_PENALTIES: dict[str, Callable[..., keras.KerasTensor]] = {
    "iou": _no_penalty,
    "giou": _empty_hull,
    "diou": _distance,
    "ciou": _distance_and_shape,
}


def _hull(boxes: keras.KerasTensor, others: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(height, width) `[...]` of the smallest box around both."""
    return _sides(ops.minimum(boxes[..., :2], others[..., :2]), ops.maximum(boxes[..., 2:], others[..., 2:]))


def _angle(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """`[...]` the diagonal's angle to the vertical; 0 for a box without height."""
    height, width = _sides(boxes[..., :2], boxes[..., 2:])
    return ops.arctan(_ratio(width, height))


def _area(low: keras.KerasTensor, high: keras.KerasTensor) -> keras.KerasTensor:
    height, width = _sides(low, high)
    return height * width


def _sides(low: keras.KerasTensor, high: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(height, width) `[...]` between corners `[..., 2]`, at least 0."""
    sides = ops.maximum(high - low, 0.0)
    return sides[..., 0], sides[..., 1]


def _ratio(part: keras.KerasTensor, whole: keras.KerasTensor) -> keras.KerasTensor:
    """part / whole, and 0 where whole is 0, with finite gradients there too."""
    empty = whole == 0.0
    return ops.where(empty, 0.0, part / ops.where(empty, 1.0, whole))
