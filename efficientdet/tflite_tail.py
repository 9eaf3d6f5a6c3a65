"""What follows the network in a TFLite file: the operator that all its clients know, TFLite_Detection_PostProcess.

The operator looks at every class of every anchor again and again, which takes almost as long as a network in int8. So
it is given the strongest anchors of each level alone, which are chosen before, in the numbers of the network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from efficientdet.anchors import Anchors, anchors_for, centre_size, decode
from efficientdet.config import Config
from efficientdet.model.detector import RawOutputs
from efficientdet.raw_names import BOX_DELTAS, CLASS_LOGITS, by_level

POSTPROCESS = "TFLite_Detection_PostProcess"
SPARE_CLASSES = 17
"""Classes that never score, put before the real ones when suppression is per class.

With t > 1 threads the op forgets the class numbered t (tensorflow/tensorflow#56058), without a word; up to
16 threads that is now a spare one. Their number is taken off the class ids again behind the op.
"""

LEVEL_ANCHORS = 500
"""The least number of anchors of a level that enter suppression where it has as many, each with all its classes.

RetinaNet (1708.02002) lets 1000 pairs of anchor and class enter, which lie on fewer anchors.
"""
PER_DETECTION = 5
NUMBERS = "anchor_numbers_"

Options = dict[str, int | float | bool]
"""Attributes of the post-processing op."""


def strongest(raw: RawOutputs, config: Config, num_classes: int) -> dict[str, tf.Tensor]:
    """The anchors of one image that enter suppression: of each level those whose best class is most likely.

    By name: class_logits_i `[1, n, k]` and box_deltas_i `[1, n, 4]` of every level i. Of a level with more than n
    anchors, n being `LEVEL_ANCHORS` or so many for each detection asked for, also anchor_numbers_i `[n]` int32: which.
    """
    limit = max(LEVEL_ANCHORS, PER_DETECTION * config.nms.max_detections)
    named: dict[str, tf.Tensor] = {}
    for i, levels in enumerate(zip(raw.class_logits, raw.box_deltas, strict=True)):
        logits, deltas = (tf.reshape(level, (1, -1, n)) for level, n in zip(levels, (num_classes, 4), strict=True))
        if logits.shape[1] > limit:
            numbers = tf.math.top_k(tf.reduce_max(logits, axis=-1)[0], limit, sorted=False).indices
            logits, deltas = (tf.gather(values, numbers, axis=1) for values in (logits, deltas))
            named[f"{NUMBERS}{i}"] = numbers
        named |= {f"{CLASS_LOGITS}{i}": logits, f"{BOX_DELTAS}{i}": deltas}
    return named


def detection_tail(found: Mapping[str, tf.Tensor], config: Config, num_classes: int) -> dict[str, tf.Tensor]:
    """The outputs of a TFLite file of ours, from what `strongest` gives.

    Float32, m = nms.max_detections: detection_boxes `[1, m, 4]` yxyx as fractions of the input, detection_classes
    `[1, m]` from 0, detection_scores `[1, m]`, num_detections `[1]`; slots beyond the number hold garbage.
    """
    options = tail_options(config, num_classes)
    spare = int(options["num_classes"]) - num_classes
    logits, codes = (tf.concat(levels, axis=1) for levels in by_level(found))
    scores = tf.pad(tf.sigmoid(logits), [[0, 0], [0, 0], [spare, 0]], constant_values=-1.0)
    boxes, classes, scores, count = _postprocess(options, codes, scores, _anchors(found, anchors_for(config)))
    return {
        # MediaPipe moves a box that begins outside to the border, and keeps its size
        "detection_boxes": tf.minimum(tf.maximum(boxes, 0.0), 1.0),
        "detection_classes": classes - spare,
        "detection_scores": scores,
        "num_detections": count,
    }


def _anchors(found: Mapping[str, tf.Tensor], anchors: Anchors) -> tf.Tensor:
    """The anchors of these outputs `[A, 4]`: centre y, centre x, height, width as fractions of the input."""
    boxes = centre_size(anchors.boxes / np.asarray(anchors.image_size * 2, np.float32))
    levels = np.split(boxes, np.cumsum([anchors.per_cell * h * w for h, w in anchors.feature_sizes])[:-1])
    chosen = [
        tf.gather(level, found[f"{NUMBERS}{i}"]) if f"{NUMBERS}{i}" in found else tf.constant(level)
        for i, level in enumerate(levels)
    ]
    return tf.concat(chosen, axis=0)


def tail_options(config: Config, num_classes: int) -> Options:
    """What the op is told by the settings of suppression, which is hard whatever `nms.method` says."""
    nms = config.nms
    return {
        "max_detections": nms.max_detections,
        "max_classes_per_detection": 1,
        "detections_per_class": nms.max_detections,
        "use_regular_nms": nms.per_class,
        "nms_score_threshold": nms.score_threshold,
        "nms_iou_threshold": nms.iou_threshold,
        "num_classes": num_classes + (SPARE_CLASSES if nms.per_class else 0),
        "x_scale": 1.0,
        "y_scale": 1.0,
        "h_scale": 1.0,
        "w_scale": 1.0,
    }


def _postprocess(options: Options, codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The call that the converter replaces by the post-processing op; in TensorFlow it computes the same.

    It takes box codes `[1, A, 4]` (ty, tx, th, tw), scores `[1, A, k]` and anchors `[A, 4]` (centre y,
    centre x, height, width as fractions of the input) and gives boxes, classes, scores and count.
    """
    text = " ".join(f'attr {{ key: "{key}" value {{ {_attribute(value)} }} }}' for key, value in options.items())
    suppress = _suppress_per_class if options["use_regular_nms"] else _suppress_globally

    @tf.function(experimental_implements=f'name: "{POSTPROCESS}" {text}', autograph=False)
    def op(codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        halves = anchors[:, 2:] / 2
        corners = tf.concat([anchors[:, :2] - halves, anchors[:, :2] + halves], axis=-1)
        return suppress(options, decode(codes, corners), scores)

    return op(codes, scores, anchors)


def _suppress_per_class(options: Options, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
    boxes, scores, classes, count = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores,
        max_output_size_per_class=options["max_detections"],
        max_total_size=options["max_detections"],
        iou_threshold=options["nms_iou_threshold"],
        score_threshold=options["nms_score_threshold"],
        clip_boxes=False,
    )
    return boxes, classes, scores, tf.cast(count, tf.float32)


def _suppress_globally(options: Options, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Every anchor with its best class alone."""
    best = tf.reduce_max(scores, axis=-1)
    kept, count = tf.image.non_max_suppression_padded(
        boxes[0],
        best[0],
        options["max_detections"],
        iou_threshold=options["nms_iou_threshold"],
        score_threshold=options["nms_score_threshold"],
        pad_to_max_output_size=True,
    )
    kept = tf.ensure_shape(kept, [options["max_detections"]])[None]
    classes = tf.cast(tf.argmax(scores, axis=-1), tf.float32)
    found = (tf.gather(values, kept, batch_dims=1) for values in (boxes, classes, best))
    return (*found, tf.cast(count, tf.float32)[None])


def _attribute(value: int | float | bool) -> str:
    """An AttrValue in protobuf's text format."""
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    return f"i: {value}" if isinstance(value, int) else f"f: {value}"
