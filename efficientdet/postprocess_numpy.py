"""From raw outputs of one image to detections without TensorFlow: `efficientdet.model.postprocess` in numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efficientdet.boxes import clip, iou
from efficientdet.config import NmsConfig

Floats = NDArray[np.float32]
GAUSSIAN_FLOOR = 0.001  # google/automl's score threshold of soft-NMS when none is given
REACH = 16  # image sides; boxes of an untrained network may be of any size, even infinite


def postprocess(
    class_logits: Sequence[Floats],
    box_deltas: Sequence[Floats],
    anchor_boxes: Floats,
    num_classes: int,
    image_size: tuple[int, int],
    nms: NmsConfig,
) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """The detections of one image, by falling score.

    Args:
      class_logits, box_deltas: per level `[1, h, w, a * k]` and `[1, h, w, a * 4]` from fine to coarse.
      anchor_boxes: `[A, 4]` yxyx pixels of the network input.
      num_classes: k, without background.
      image_size: (height, width) of the network input, to which boxes are clipped after suppression.
      nms: how candidates are chosen and suppressed.

    Returns:
      boxes `[n, 4]` yxyx pixels of the network input, scores `[n]` in 0..1, class ids `[n]` from 1.
    """
    logits = np.concatenate([level.reshape(-1, num_classes) for level in class_logits])
    deltas = np.concatenate([level.reshape(-1, 4) for level in box_deltas])
    anchor, category, best = _candidates(logits, nms.max_candidates)
    scores = 1 / (1 + np.exp(-best.astype(np.float64)))
    floor = nms.score_threshold or (GAUSSIAN_FLOOR if nms.method == "gaussian" else -math.inf)
    enough = scores > floor
    anchor, category, scores = anchor[enough], category[enough], scores[enough]
    boxes = _decode(deltas[anchor], anchor_boxes[anchor])
    plane = _plane(boxes, category if nms.per_class else 0 * category, image_size, num_classes)
    kept, scores = _suppress(plane, scores, nms, floor)
    return clip(boxes[kept], *image_size), scores.astype(np.float32), category[kept].astype(np.int32) + 1


def _candidates(logits: Floats, limit: int) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """Anchor, class index and logit of the best `limit` pairs by falling logit; 0: every anchor's best class."""
    if not limit:
        category = logits.argmax(axis=1)
        anchor = np.arange(len(logits))
        return anchor, category, logits[anchor, category]
    flat = logits.ravel()
    best = np.argpartition(-flat, limit)[:limit] if limit < flat.size else np.arange(flat.size)
    best = best[np.argsort(-flat[best], kind="stable")]
    return best // logits.shape[1], best % logits.shape[1], flat[best]


def _decode(deltas: Floats, anchors: Floats) -> Floats:
    """Boxes `[n, 4]` yxyx of the code of `efficientdet.anchors.encode`."""
    sizes = anchors[:, 2:] - anchors[:, :2]
    centres = deltas[:, :2] * sizes + (anchors[:, 2:] + anchors[:, :2]) / 2
    with np.errstate(over="ignore"):
        halves = np.exp(deltas[:, 2:]) * sizes / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _plane(boxes: Floats, group: NDArray[Any], image_size: tuple[int, int], num_classes: int) -> Floats:
    """The boxes with every group on its own square of a plane: one suppression then keeps groups apart."""
    side = float(max(image_size))
    boxes = np.clip(boxes, -REACH * side, (1 + REACH) * side)
    reach = np.ptp(boxes) if len(boxes) else 0.0
    columns = math.ceil(math.sqrt(num_classes))
    square = np.stack([group // columns, group % columns] * 2, axis=1)
    return np.asarray(boxes + square * reach, np.float32)


def _suppress(boxes: Floats, scores: NDArray[Any], nms: NmsConfig, floor: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows that stay and their scores, by falling score; gaussian suppression lowers scores instead of boxes."""
    gaussian = nms.method == "gaussian"
    left = scores.copy()
    kept: list[int] = []
    found: list[float] = []
    while len(kept) < nms.max_detections and len(left) and left.max() > floor:
        best = int(left.argmax())
        kept.append(best)
        found.append(left[best])
        overlap = iou(boxes[best : best + 1], boxes)[0]
        if gaussian:
            left = left * np.exp(-(overlap**2) / nms.sigma)  # arXiv 1704.04503
        else:
            left[overlap > nms.iou_threshold] = -math.inf
        left[best] = 0 if gaussian else -math.inf
    return np.array(kept, np.intp), np.array(found)
