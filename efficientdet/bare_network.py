"""The network without what stands before it: normalised images of its own size in, detections or raw outputs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.model.detector import RawOutputs
from efficientdet.model.postprocess import postprocess
from efficientdet.raw_names import SEGMENTATION, by_name
from efficientdet.tflite_tail import detection_tail, strongest

Network: TypeAlias = keras.Model | Callable[..., RawOutputs]
"""What `build_detector` returns, or a `tf.Module` called in its place."""


class BareNetwork(tf.Module):
    """A detector whose images the caller resizes, pads and normalises, as google/automl's `pre_mode=None`.

    `run` takes `images` float32 `[b, H, W, 3]`, normalised as `efficientdet.model.detector.normalise` does; b is
    free, and 1 with `export.post_mode=tflite`. Its answers:
      none: `class_logits_i` `[b, h, w, a * k]` and `box_deltas_i` `[b, h, w, a * 4]` of every level i, and
        `segmentation` of a network that has it.
      tflite: those of the TFLite files; TensorFlow's converter puts TFLite's operator in their place.
      else: `detections`, boxes in pixels of the network's input.
    """

    def __init__(self, model: Network, config: Config, num_classes: int) -> None:
        super().__init__()
        self.held = held(model)
        mode = config.export.post_mode

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            raw = model(images, training=False)
            if mode == "tflite":
                return detection_tail(strongest(raw, config, num_classes), config, num_classes)
            return detections(raw, config, num_classes) if mode else raw_outputs(raw)

        batch = 1 if mode == "tflite" else None
        spec = tf.TensorSpec([batch, *config.model.input_size, 3], tf.float32, name="images")
        self.run = tf.function(run, input_signature=[spec], autograph=False)


def held(model: Network) -> object:
    """What a `tf.Module` must hold on to so that it can be saved: the variables, or a module with them."""
    return [variable.value for variable in model.variables] if isinstance(model, keras.Model) else model


def detections(raw: RawOutputs, config: Config, num_classes: int) -> dict[str, tf.Tensor]:
    """Detections of a batch by name, see `efficientdet.model.postprocess`; boxes in pixels of the network's input."""
    boxes, scores, classes, count = postprocess(
        raw, anchors_for(config).boxes, num_classes, image_size=config.model.input_size, **config.nms.to_dict()
    )
    return {
        "detection_boxes": boxes,
        "detection_scores": scores,
        "detection_classes": classes,
        "num_detections": count,
    }


def raw_outputs(raw: RawOutputs) -> dict[str, tf.Tensor]:
    """The raw outputs of every level by name, and the segmentation where there is one."""
    named = by_name(raw.class_logits, raw.box_deltas)
    segmentation = getattr(raw, SEGMENTATION, None)
    return named if segmentation is None else named | {SEGMENTATION: segmentation}
