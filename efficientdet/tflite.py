"""The int8 TFLite file: the network in integers, the standard detection post-processing, metadata and labels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import normalise
from efficientdet.quantize import quantize_int8
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_metadata import pack_metadata

SIGNATURE = "serving_default"
_POSTPROCESS = "TFLite_Detection_PostProcess"
# names of the nodes behind the network, which stay in float32
_BOXES, _LOGITS, _SCORES, _SPARED, _CLASSES = _FLOAT_NODES = (
    "box_encodings",
    "class_logits",
    "class_scores",
    "spared_scores",
    "class_ids",
)

SPARE_CLASSES = 17
"""Classes that never score, put before the real ones when suppression is per class.

With t > 1 threads the op forgets the class numbered t (tensorflow/tensorflow#56058), without a word; up to
16 threads that is now a spare one. Their number is taken off the class ids again behind the op.
"""


def export_tflite_int8(
    model: keras.Model, config: Config, label_map: LabelMap, calibration: Iterable[NDArray[np.uint8]], path: str | Path
) -> None:
    """Writes the detector as one int8 TFLite file, which appears complete or not at all.

    Args:
      model: the network of `build_detector`.
      config: its config; `nms` becomes attributes of the post-processing (hard suppression; the op knows no other).
      label_map: its classes.
      calibration: letterboxed images `[H, W, 3]` uint8 from the training set.
      path: the .tflite file to write.

    Input: uint8 `[1, H, W, 3]` RGB pixels as they are. Outputs, float32, m = nms.max_detections:
    detection_boxes `[1, m, 4]` yxyx as fractions of the input, detection_classes `[1, m]` from 0,
    detection_scores `[1, m]`, num_detections `[1]`; slots beyond the number hold garbage.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory() as work:
        detector = _Detector(model, config, len(label_map))
        tf.saved_model.save(detector, work, signatures={SIGNATURE: detector.detect})
        quantised = quantize_int8(work, SIGNATURE, calibration, _FLOAT_NODES)
    finished = _with_options(quantised, detector.options)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(pack_metadata(finished, config, label_map))
    aside.replace(path)


class _Detector(tf.Module):
    """The serving graph: raw pixels in, the outputs of the post-processing op out."""

    def __init__(self, model: keras.Model, config: Config, num_classes: int) -> None:
        super().__init__()
        # the converter aborts the process when the module does not hold the variables itself
        self.held = [variable.value for variable in model.variables]
        height, width = config.model.input_size
        anchors = anchors_for(config).boxes / np.asarray([height, width, height, width], np.float32)
        spare = SPARE_CLASSES if config.nms.per_class else 0
        options = _options(config, num_classes + spare)

        def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
            raw = model(normalise(images, config), training=False)
            # In int8, scores would come in steps of 1/256 and weak ones would tie: from each level's
            # logits on, all is float32.
            codes = tf.concat([tf.reshape(level, [1, -1, 4]) for level in raw.box_deltas], 1, name=_BOXES)
            logits = [tf.reshape(level, [1, -1, num_classes]) for level in raw.class_logits]
            scores = tf.sigmoid(tf.concat(logits, 1, name=_LOGITS), name=_SCORES)
            scores = tf.pad(scores, [[0, 0], [0, 0], [spare, 0]], constant_values=-1.0, name=_SPARED)
            boxes, classes, scores, count = _postprocess(options, codes, scores, tf.constant(_centre_size(anchors)))
            return {
                "detection_boxes": boxes,
                "detection_classes": tf.subtract(classes, float(spare), name=_CLASSES),
                "detection_scores": scores,
                "num_detections": count,
            }

        self.options = options
        signature = [tf.TensorSpec([1, height, width, 3], tf.float32, name="images")]
        self.detect = tf.function(detect, input_signature=signature, autograph=False)


def _options(config: Config, num_classes: int) -> dict[str, int | float | bool]:
    """The attributes of the post-processing op."""
    nms = config.nms
    return {
        "max_detections": nms.max_detections,
        "max_classes_per_detection": 1,
        "detections_per_class": nms.max_detections,
        "use_regular_nms": nms.per_class,
        "nms_score_threshold": nms.score_threshold,
        "nms_iou_threshold": nms.iou_threshold,
        "num_classes": num_classes,
        "x_scale": 1.0,
        "y_scale": 1.0,
        "h_scale": 1.0,
        "w_scale": 1.0,
    }


def _postprocess(
    options: dict[str, int | float | bool], codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """The call that the converter replaces by the post-processing op; outside TFLite it answers zeros.

    It takes box codes `[1, A, 4]` (ty, tx, th, tw), scores `[1, A, k]` and anchors `[A, 4]` (centre y,
    centre x, height, width as fractions of the input) and gives boxes, classes, scores and count.
    """
    text = " ".join(f'attr {{ key: "{key}" value {{ {_attribute(value)} }} }}' for key, value in options.items())
    slots = (1, int(options["max_detections"]))

    @tf.function(experimental_implements=f'name: "{_POSTPROCESS}" {text}', autograph=False)
    def op(codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        zero = 0 * (tf.reduce_sum(codes) + tf.reduce_sum(scores) + tf.reduce_sum(anchors))
        return tf.zeros((*slots, 4)) + zero, tf.zeros(slots) + zero, tf.zeros(slots) + zero, tf.zeros(1) + zero

    return op(codes, scores, anchors)


def _attribute(value: int | float | bool) -> str:
    """An AttrValue in protobuf's text format."""
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    return f"i: {value}" if isinstance(value, int) else f"f: {value}"


def _with_options(flatbuffer: bytes, options: dict[str, int | float | bool]) -> bytes:
    """The model with every option written into its post-processing op; the converter drops some."""
    model = unpack_model(flatbuffer)
    [code] = [i for i, c in enumerate(model.operatorCodes) if c.customCode == _POSTPROCESS.encode()]
    [op] = [op for op in model.subgraphs[0].operators if op.opcodeIndex == code]
    op.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
    return pack_model(model)


def _centre_size(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[n, 4]` yxyx as `[n, 4]` centre y, centre x, height, width."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1).astype(np.float32)
