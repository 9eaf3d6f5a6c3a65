"""Conversion of a network to a TFLite graph that computes in floats; `calibrated_network` does it in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tensorflow as tf


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
