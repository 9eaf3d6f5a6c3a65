"""Full-integer quantisation of a TFLite graph, calibrated on real examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from efficientdet.errors import DataError
from efficientdet.tflite_flatbuffer import pack_model, unpack_model


def quantize_int8(
    saved_model: str | Path,
    signature: str,
    calibration: Iterable[NDArray[np.uint8]],
    float_nodes: Sequence[str] = (),
) -> bytes:
    """The TFLite flatbuffer of a signature, its weights and activations in int8 and its image input in uint8.

    Args:
      saved_model: folder of a SavedModel.
      signature: key of a signature with one float32 input `[1, h, w, 3]` of raw pixels 0..255.
      calibration: images `[h, w, 3]` uint8 as the network will see them; they set the ranges of the activations.
      float_nodes: names of graph nodes to leave in float32.

    The input has scale 1 and zero point 0, so that a client writes raw pixels. Raises DataError when there is
    no calibration image.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in _full_range(calibration))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = True
    # the debugger is TensorFlow's way to except single nodes from quantisation
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(float_nodes)),
    )
    return _with_uint8_input(debugger.get_nondebug_quantized_model())


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


def _with_uint8_input(flatbuffer: bytes) -> bytes:
    """The model with its float32 input and the QUANTIZE behind it turned into a uint8 input."""
    model = unpack_model(flatbuffer)
    graph = model.subgraphs[0]
    [index] = graph.inputs
    [reader] = [op for op in graph.operators if index in op.inputs]
    quantised = graph.tensors[reader.outputs[0]].quantization
    if quantised is None or not np.isclose(quantised.scale[0], 1) or quantised.zeroPoint[0] != -128:
        raise RuntimeError(f"TFLite input is quantised with {vars(quantised) if quantised else None}, not scale 1")
    image = graph.tensors[index]
    image.type = schema.TensorType.UINT8
    image.quantization = schema.QuantizationParametersT()
    image.quantization.scale, image.quantization.zeroPoint = np.ones(1, np.float32), np.zeros(1, np.int64)
    return pack_model(model)
