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
    threshold = score_threshold or (GAUSSIAN_FLOOR if method == "gaussian" else 0.0)
    candidates = top_candidates(raw, anchor_boxes, num_classes, max_candidates, threshold)
    plane = _apart(candidates, image_size, num_classes) if per_class else candidates.boxes

    def suppress(of_image: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        boxes, scores = of_image
        kept, scores, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes,
            scores=scores,
            max_output_size=max_detections,
            # Gaussian suppression never removes a box for its overlap alone.
            iou_threshold=iou_threshold if method == "hard" else 1.0,
            score_threshold=threshold or -math.inf,
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
    raw: RawOutputs, anchor_boxes: NDArray[np.float32], num_classes: int, max_candidates: int, threshold: float = 0.0
) -> Candidates:
    """The `max_candidates` best (anchor, class) pairs of each image by falling score, or all if fewer.

    0 stands for another choice: every anchor with its best class alone, in the order of the anchors. Of pairs that
    score below `threshold` none need be among them; where others are too few, pairs of score 0 fill up.
    """
    logits, deltas = join_levels(raw.class_logits, num_classes), join_levels(raw.box_deltas, 4)
    anchors = ops.convert_to_tensor(anchor_boxes)
    highest = ops.max(logits, axis=-1)
    if not max_candidates:
        return Candidates(decode(deltas, anchors), ops.sigmoid(highest), ops.cast(ops.argmax(logits, -1) + 1, "int32"))
    best, anchor, category = _top_pairs(logits, highest, min(max_candidates, logits.shape[1] * num_classes), threshold)
    # Only these are decoded.
    boxes = decode(tf.gather(deltas, anchor, batch_dims=1), tf.gather(anchors, anchor))
    return Candidates(boxes, ops.sigmoid(best), category + 1)


def _top_pairs(
    logits: tf.Tensor, highest: tf.Tensor, count: int, threshold: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Logits, anchor and class index of the best pairs of each image, `[b, count]` each.

    Sorting takes longest, so what cannot be among them is left out first: anchors, then pairs, below a floor.
    """
    floors = _floors(highest, count, threshold)

    def of_image(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        anchors = tf.cast(tf.where(highest[i] >= floors[i])[:, 0], tf.int32)
        rows = tf.gather_nd(logits, tf.stack([tf.fill(tf.shape(anchors), i), anchors], axis=-1))
        places = tf.cast(tf.where(rows >= floors[i]), tf.int32)
        best, order = tf.math.top_k(tf.gather_nd(rows, places), tf.minimum(count, tf.shape(places)[0]))
        row, category = tf.unstack(tf.gather(places, order), axis=1)
        missing = [[0, count - tf.shape(best)[0]]]
        best = tf.pad(best, missing, constant_values=best.dtype.min)
        return best, tf.pad(tf.gather(anchors, row), missing), tf.pad(category, missing)

    specs = tuple(tf.TensorSpec([count], dtype) for dtype in (logits.dtype, tf.int32, tf.int32))
    return tf.map_fn(of_image, tf.range(tf.shape(logits)[0]), fn_output_signature=specs)


def _floors(highest: tf.Tensor, count: int, threshold: float) -> tf.Tensor:
    """Per image `[b]` a logit that the best `count` pairs are not below, or below which a pair does not score."""
    if threshold:
        # A little lower: suppression asks again, of the score.
        floor = tf.constant(math.log(threshold / (1 - threshold)) - 1e-3, highest.dtype)
    elif count > highest.shape[1]:
        floor = highest.dtype.min
    else:
        # The best n pairs lie on the n anchors with the best single class.
        return tf.reduce_min(tf.math.top_k(highest, count, sorted=False).values, axis=1)
    return tf.fill(tf.shape(highest)[:1], floor)


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
