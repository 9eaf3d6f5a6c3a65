"""From raw outputs to detections: the best candidates, their boxes, and non-maximum suppression."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from efficientdet.anchors import decode, join_levels
from efficientdet.model.detector import RawOutputs

GAUSSIAN_FLOOR = 0.001  # google/automl's score threshold of soft-NMS when none is given: lowered scores never end
REACH = 16  # image sides; boxes of an untrained network may be of any size, even infinite


class Candidates(NamedTuple):
    """The (anchor, class) pairs of each image that enter suppression.

    boxes `[b, n, 4]` float32 yxyx pixels of the network input, not clipped; scores `[b, n]` float32 in 0..1;
    classes `[b, n]` int32 ids from 1.
    """

    boxes: keras.KerasTensor
    scores: keras.KerasTensor
    classes: keras.KerasTensor


def postprocess(
    raw: RawOutputs,
    anchor_boxes: NDArray[np.float32],
    num_classes: int,
    *,
    image_size: tuple[int, int],
    method: str,
    per_class: bool,
    iou_threshold: float,
    sigma: float,
    score_threshold: float,
    max_candidates: int,
    max_detections: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Detections of a batch, the batch size being free and every other size static.

    Args:
      raw: the network's outputs.
      anchor_boxes: `[A, 4]` `Anchors.boxes` of the same network.
      num_classes: k, without background.
      image_size: (height, width) of the network input, to which boxes are clipped after suppression.
      method, per_class, iou_threshold, sigma, score_threshold, max_candidates, max_detections: the fields of
        `NmsConfig`, so that `**config.nms.to_dict()` passes them all. score_threshold 0 keeps everything, with
        gaussian suppression what scores above `GAUSSIAN_FLOOR`; max_candidates 0: see `top_candidates`.

    Returns:
      boxes `[b, m, 4]` float32 yxyx pixels of the network input, scores `[b, m]` float32, classes `[b, m]` int32
      ids from 1, count `[b]` int32, where m is max_detections. Sorted by falling score, and zero from count on;
      with gaussian suppression the scores are the lowered ones.
    """
    candidates = top_candidates(raw, anchor_boxes, num_classes, max_candidates)
    plane = _apart(candidates, image_size, num_classes) if per_class else candidates.boxes

    def suppress(of_image: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        boxes, scores = of_image
        kept, scores, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes,
            scores=scores,
            max_output_size=max_detections,
            # Gaussian suppression never removes a box for its overlap alone.
            iou_threshold=iou_threshold if method == "hard" else 1.0,
            score_threshold=score_threshold or (GAUSSIAN_FLOOR if method == "gaussian" else -math.inf),
            # The kernel lowers by exp(-iou**2 / (2 * its sigma)), the paper (arXiv 1704.04503) by exp(-iou**2 / sigma).
            soft_nms_sigma=sigma / 2 if method == "gaussian" else 0.0,
            pad_to_max_output_size=True,
        )
        return tf.ensure_shape(kept, [max_detections]), tf.ensure_shape(scores, [max_detections]), count

    kept, scores, count = tf.map_fn(
        suppress, (plane, candidates.scores), fn_output_signature=(tf.int32, tf.float32, tf.int32)
    )
    valid = tf.sequence_mask(count, max_detections)
    boxes = _clip(tf.gather(candidates.boxes, kept, batch_dims=1), image_size)
    classes = tf.gather(candidates.classes, kept, batch_dims=1)
    return (
        tf.where(valid[..., None], boxes, 0.0),
        tf.where(valid, scores, 0.0),
        tf.where(valid, classes, 0),
        count,
    )


def top_candidates(
    raw: RawOutputs, anchor_boxes: NDArray[np.float32], num_classes: int, max_candidates: int
) -> Candidates:
    """The `max_candidates` best (anchor, class) pairs of each image by falling score, or all if fewer.

    0 stands for another choice: every anchor with its best class alone, in the order of the anchors.
    """
    logits, deltas = join_levels(raw.class_logits, num_classes), join_levels(raw.box_deltas, 4)
    anchors = ops.convert_to_tensor(anchor_boxes)
    if not max_candidates:
        best, classes = ops.max(logits, axis=-1), ops.argmax(logits, axis=-1)
        return Candidates(decode(deltas, anchors), ops.sigmoid(best), ops.cast(classes + 1, "int32"))
    # The best n pairs lie on the n anchors with the best single class: choosing those first is three times faster.
    strongest, nearest = ops.top_k(ops.max(logits, axis=-1), min(max_candidates, len(anchor_boxes)))
    # Keras' take_along_axis would look up every single number.
    logits = tf.gather(logits, nearest, batch_dims=1)
    pairs = ops.reshape(logits, (-1, logits.shape[1] * num_classes))
    if max_candidates <= len(anchor_boxes):
        best, pair = _top_above(pairs, strongest[:, -1], max_candidates)
    else:
        best, pair = ops.top_k(pairs, min(max_candidates, pairs.shape[1]))
    anchor = tf.gather(nearest, pair // num_classes, batch_dims=1)
    # Only these are decoded.
    boxes = decode(tf.gather(deltas, anchor, batch_dims=1), tf.gather(anchors, anchor))
    return Candidates(boxes, ops.sigmoid(best), ops.cast(pair % num_classes + 1, "int32"))


def _top_above(values: tf.Tensor, floor: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The `count` highest values of each row and their places; at least as many are not below the row's floor.

    To sort those alone takes a quarter of the time.
    """

    def of_row(row: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.cast(tf.where(row[0] >= row[1])[:, 0], tf.int32)
        best, order = tf.math.top_k(tf.gather(row[0], places), count)
        return best, tf.gather(places, order)

    specs = (tf.TensorSpec([count], values.dtype), tf.TensorSpec([count], tf.int32))
    return tf.map_fn(of_row, (values, floor), fn_output_signature=specs)


def _apart(candidates: Candidates, image_size: tuple[int, int], num_classes: int) -> tf.Tensor:
    """The boxes with every class on its own square of a plane: one suppression then keeps classes apart.

    Squares are as wide as the image's boxes reach, in a grid, so that coordinates stay small: for 100 classes
    on 512 pixels float32 still resolves 1/1000 pixel. A box that leaves the image by `REACH` sides is cut first.
    """
    side = float(max(image_size))
    boxes = ops.clip(candidates.boxes, -REACH * side, (1 + REACH) * side)
    lowest, highest = ops.min(boxes, axis=(1, 2), keepdims=True), ops.max(boxes, axis=(1, 2), keepdims=True)
    columns = math.ceil(math.sqrt(num_classes))
    square = ops.stack([candidates.classes // columns, candidates.classes % columns] * 2, axis=-1)
    return boxes + ops.cast(square, "float32") * (highest - lowest)


def _clip(boxes: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    """Boxes `[..., 4]` yxyx cut at the border of the network input."""
    return tf.clip_by_value(boxes, 0.0, tf.constant(image_size * 2, tf.float32))
