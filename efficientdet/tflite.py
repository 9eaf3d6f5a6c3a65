"""The TFLite file: the network in integers or floats, the standard detection post-processing, metadata and labels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from efficientdet.anchors import anchors_for, centre_size, join_levels
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import normalise
from efficientdet.quantize import convert_float, quantize_int8
from efficientdet.tflite_flatbuffer import join_models, unpack_model
from efficientdet.tflite_metadata import pack_with_metadata

SIGNATURE = "serving_default"
_LOGITS, _DELTAS = "class_logits_", "box_deltas_"
POSTPROCESS = "TFLite_Detection_PostProcess"
SPARE_CLASSES = 17
"""Classes that never score, put before the real ones when suppression is per class.

With t > 1 threads the op forgets the class numbered t (tensorflow/tensorflow#56058), without a word; up to
16 threads that is now a spare one. Their number is taken off the class ids again behind the op.
"""

Options = dict[str, int | float | bool]
"""Attributes of the post-processing op."""


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
    _export(model, config, label_map, path, "int8", lambda folder: quantize_int8(folder, SIGNATURE, calibration))


def export_tflite_float(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    path: str | Path,
    weights: Literal["float32", "float16", "dynamic"] = "float32",
) -> None:
    """Writes the detector as a TFLite file like that of `export_tflite_int8`, with a float32 input of the same pixels.

    `weights` is how they are stored, see `efficientdet.quantize.convert_float`.
    """
    _export(model, config, label_map, path, weights, lambda folder: convert_float(folder, SIGNATURE, weights))


def _export(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    path: str | Path,
    numbers: str,
    convert: Callable[[str], bytes],
) -> None:
    """Writes the file; `convert` makes a flatbuffer of the network's SavedModel, and `numbers` is what in."""
    path = Path(path)
    options = _options(config, len(label_map))
    with tempfile.TemporaryDirectory() as work:
        network = _Network(model, config)
        tf.saved_model.save(network, work, signatures={SIGNATURE: network.run})
        joined = join_models(
            unpack_model(convert(work)),
            unpack_model(_convert_tail(network.run.structured_outputs, config, len(label_map), options)),
        )
    _set_options(joined, options)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(pack_with_metadata(joined, config, label_map, numbers))
    aside.replace(path)


class _Network(tf.Module):
    """The part that runs in integers: raw pixels in, the raw outputs of every level out, by name."""

    def __init__(self, model: keras.Model, config: Config) -> None:
        super().__init__()
        # the converter aborts the process when the module does not hold the variables itself
        self.held = [variable.value for variable in model.variables]

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            raw = model(normalise(images, config), training=False)
            logits = {f"{_LOGITS}{i}": level for i, level in enumerate(raw.class_logits)}
            return logits | {f"{_DELTAS}{i}": level for i, level in enumerate(raw.box_deltas)}

        images = tf.TensorSpec([1, *config.model.input_size, 3], tf.float32, name="images")
        self.run = tf.function(run, autograph=False).get_concrete_function(images)


def _convert_tail(raw: dict[str, tf.TensorSpec], config: Config, num_classes: int, options: Options) -> bytes:
    """The TFLite flatbuffer of what follows the network, all in float32: in int8, weak scores would tie.

    `raw` holds the outputs of `_Network`, which become the inputs.
    """
    height, width = config.model.input_size
    anchors = centre_size(anchors_for(config).boxes / np.asarray([height, width, height, width], np.float32))
    spare = int(options["num_classes"]) - num_classes
    levels = range(len(raw) // 2)

    def tail(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = join_levels([raw[f"{_DELTAS}{i}"] for i in levels], 4)
        logits = join_levels([raw[f"{_LOGITS}{i}"] for i in levels], num_classes)
        scores = tf.pad(tf.sigmoid(logits), [[0, 0], [0, 0], [spare, 0]], constant_values=-1.0)
        boxes, classes, scores, count = _postprocess(options, codes, scores, tf.constant(anchors))
        return {
            "detection_boxes": boxes,
            "detection_classes": classes - spare,
            "detection_scores": scores,
            "num_detections": count,
        }

    specs = {name: tf.TensorSpec(value.shape, tf.float32, name=name) for name, value in raw.items()}
    module = tf.Module()
    module.tail = tf.function(tail, autograph=False)
    with tempfile.TemporaryDirectory() as work:
        tf.saved_model.save(module, work, signatures={SIGNATURE: module.tail.get_concrete_function(**specs)})
        converter = tf.lite.TFLiteConverter.from_saved_model(work, signature_keys=[SIGNATURE])
        converter.allow_custom_ops = True
        return bytes(converter.convert())


def _options(config: Config, num_classes: int) -> Options:
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
    """The call that the converter replaces by the post-processing op; outside TFLite it answers zeros.

    It takes box codes `[1, A, 4]` (ty, tx, th, tw), scores `[1, A, k]` and anchors `[A, 4]` (centre y,
    centre x, height, width as fractions of the input) and gives boxes, classes, scores and count.
    """
    text = " ".join(f'attr {{ key: "{key}" value {{ {_attribute(value)} }} }}' for key, value in options.items())
    slots = (1, int(options["max_detections"]))

    @tf.function(experimental_implements=f'name: "{POSTPROCESS}" {text}', autograph=False)
    def op(codes: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
        zero = 0 * (tf.reduce_sum(codes) + tf.reduce_sum(scores) + tf.reduce_sum(anchors))
        return tf.zeros((*slots, 4)) + zero, tf.zeros(slots) + zero, tf.zeros(slots) + zero, tf.zeros(1) + zero

    return op(codes, scores, anchors)


def _attribute(value: int | float | bool) -> str:
    """An AttrValue in protobuf's text format."""
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    return f"i: {value}" if isinstance(value, int) else f"f: {value}"


def _set_options(model: schema.ModelT, options: Options) -> None:
    """Writes every option into the post-processing op; the converter drops some."""
    [code] = [i for i, c in enumerate(model.operatorCodes) if c.customCode == POSTPROCESS.encode()]
    [op] = [op for op in model.subgraphs[0].operators if op.opcodeIndex == code]
    op.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
