"""Conversion of the network to a TFLite graph: in int8 throughout, calibrated on real examples, or in float."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.errors import DataError


def quantize_int8(saved_model: str | Path, signature: str, calibration: Iterable[NDArray[np.uint8]]) -> bytes:
    """The TFLite flatbuffer of a signature, weights and activations in int8, image in uint8, outputs in float32.

    Args:
      saved_model: folder of a SavedModel.
      signature: key of a signature with one float32 input `[1, h, w, 3]` of raw pixels 0..255.
      calibration: images `[h, w, 3]` uint8 as the network will see them; they set the ranges of the activations.

    The input has scale 1 and zero point 0, so that a client writes raw pixels. Raises DataError when there is
    no calibration image.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in _full_range(calibration))
    # int8 alone: an operation that cannot be quantised fails the conversion rather than staying float
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


def convert_float(saved_model: str | Path, signature: str, weights: Literal["float32", "float16", "dynamic"]) -> bytes:
    """The TFLite flatbuffer of a signature that takes and answers float32.

    Args:
      saved_model: folder of a SavedModel.
      signature: key of a signature with one input.
      weights: how they are stored: `float32`; `float16`; or `dynamic`: in int8, with activations quantised to the
        range that each image gives them.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _full_range(calibration: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """The images as `[1, h, w, 3]` float32, two pixels of the first being made black and white.

    The input's scale is its observed range over 255: it is exactly 1 only if both 0 and 255 were seen.
    """
    empty = True
    for image in calibration:
        pixels = image.astype(np.float32)
        if empty:
            pixels[-1, -1], pixels[-1, -2] = 0, 255
        empty = False
        yield pixels[None]
    if empty:
        raise DataError("int8 calibration: there is no image; the train split must hold at least one readable image")
