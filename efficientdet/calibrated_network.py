"""A float TFLite network that knows the ranges of its activations: what int8 files are made of, each in a moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import ArrayLike, NDArray
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.lite.python.convert import mlir_quantize

from efficientdet.activations import Activation, observe
from efficientdet.bias_correction import corrected_biases, set_bias
from efficientdet.clipping import best_range, full_range
from efficientdet.errors import DataError, ModelError
from efficientdet.layer_names import BACKBONE, layer_names, matching
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_operators import kind, output_names

CLIP_POWER = 3.0
"""Of the error that clipping minds; how it was chosen: docs/decisions/0016."""


class CalibratedNetwork:
    """A signature of a SavedModel, calibrated on images.

    Args:
      saved_model: folder of a SavedModel.
      signature: key of a signature with one float32 input `[1, h, w, 3]` of raw pixels 0..255.
      calibration: images `[h, w, 3]` as the network will see them; read once.
      float_layers: patterns of `layers` that files will be asked to keep in float, to be told of wrong ones early.

    The ranges that TensorFlow's own calibrator gives to what additions read are up to three times too wide
    (docs/decisions/0016); it is only asked for the graph.

    Attributes:
      layers: names of the operators, in their order, see `efficientdet.layer_names`.
      images: how many it was calibrated on.
      flatbuffer: the network in float, with the ranges.

    Raises ConfigError, before any image is read, when a pattern of `float_layers` fits no layer, and DataError when
    there is no image.
    """

    def __init__(
        self,
        saved_model: str | Path,
        signature: str,
        calibration: Iterable[ArrayLike],
        float_layers: Sequence[str] = (),
    ) -> None:
        model = unpack_model(_graph(saved_model, signature))
        self.layers = layer_names(model)
        matching(float_layers, self.layers)
        images = _with_black_and_white(calibration)
        first = next(images, None)
        if first is None:
            raise DataError("int8 calibration: there is no image; the examples must hold at least one readable image")
        activations = observe(model, chain([first], images))
        [pixels] = model.subgraphs[0].inputs
        self.images = activations[int(pixels)].images
        self._biases = corrected_biases(model, activations)
        _set_ranges(model, activations)
        self.flatbuffer = pack_model(model)
        self._written = output_names(model)

    def quantized(
        self,
        pixels: Literal["uint8", "float32"] = "uint8",
        outputs: Literal["float32", "int8"] = "float32",
        float_layers: Sequence[str] = (),
    ) -> bytes:
        """The TFLite flatbuffer, weights and activations in int8.

        Args:
          pixels: the type of the image. A uint8 input has scale 1 and zero point 0, so that a client writes raw pixels.
          outputs: the type of the outputs; in int8 each has its own scale and zero point.
          float_layers: patterns of `layers` that stay in float32.

        Raises ConfigError when a pattern fits no layer, and ModelError when something else would stay float.
        """
        kept = matching(float_layers, self.layers)
        content = mlir_quantize(
            self._corrected(kept),
            input_data_type=tf.dtypes.as_dtype(pixels),
            output_data_type=tf.dtypes.as_dtype(outputs),
            denylisted_nodes=[self._written[place] for place in kept],
        )
        self._check(unpack_model(content), {self._written[place] for place in kept})
        return bytes(content)

    def verifying(self, float_layers: Sequence[str] = ()) -> bytes:
        """The same from float32 to float32, with operators that compare each layer with itself in float."""
        kept = [self._written[place] for place in matching(float_layers, self.layers)]
        return bytes(mlir_quantize(self.flatbuffer, enable_numeric_verify=True, denylisted_nodes=kept))

    def _corrected(self, kept: Collection[int]) -> bytes:
        """The float network with biases for rounded weights, except in the layers that keep theirs as they are."""
        model = unpack_model(self.flatbuffer)
        for place, bias in self._biases.items():
            if place not in kept:
                set_bias(model, place, bias)
        return pack_model(model)

    def layer_of(self, tensor: str) -> str | None:
        """The layer that writes a tensor of this name."""
        return dict(zip(self._written, self.layers, strict=True)).get(tensor)

    def _check(self, model: schema.ModelT, kept: set[str]) -> None:
        [graph] = model.subgraphs
        read = {int(index) for op in graph.operators for index in op.inputs} | set(map(int, graph.outputs))
        for op in (op for op in graph.operators if int(op.outputs[0]) in read):
            tensor = graph.tensors[int(op.outputs[0])]
            name = tensor.name.decode()
            if tensor.type == schema.TensorType.FLOAT32 and name not in kept and kind(model, op) != "DEQUANTIZE":
                raise ModelError(
                    f"{self.layer_of(name) or name} ({kind(model, op)}): TensorFlow has no int8 for it; let it stay "
                    "float with export.float_layers, or export another format"
                )


def _graph(saved_model: str | Path, signature: str) -> bytes:
    """The float graph as the converter optimises it, with a place for the range of every activation.

    The converter makes those places for what it sees of an image. Noise will do: the ranges are written anew.
    """
    shape = _input_shape(Path(saved_model), signature)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[noise]])
    converter._experimental_calibrate_only = True
    return bytes(converter.convert())


def _input_shape(saved_model: Path, signature: str) -> list[int]:
    """The shape of a signature's one input."""
    [graph] = SavedModel.FromString((saved_model / "saved_model.pb").read_bytes()).meta_graphs
    [pixels] = graph.signature_def[signature].inputs.values()
    return [dim.size for dim in pixels.tensor_shape.dim]


def _with_black_and_white(images: Iterable[ArrayLike]) -> Iterator[NDArray[np.float32]]:
    """The images in float32, two pixels of the first being made black and white.

    The input's scale is its observed range over 255: it is exactly 1 only if both 0 and 255 were seen.
    """
    for i, image in enumerate(images):
        pixels = np.array(image, np.float32)
        if i == 0:
            pixels[-1, -1], pixels[-1, -2] = 0, 255
        yield pixels


def _set_ranges(model: schema.ModelT, activations: Mapping[int, Activation]) -> None:
    """Writes into the graph what each activation shall span in int8.

    Only the backbone is clipped, from its first convolution on: in the pyramid and the heads the rare large values are
    the objects.
    """
    [graph] = model.subgraphs
    for index, activation in activations.items():
        _set(graph.tensors[index], full_range(activation))
    for op, layer in zip(graph.operators, layer_names(model), strict=True):
        if layer.startswith(BACKBONE) and int(op.outputs[0]) in activations:
            index = int(op.outputs[0])
            _set(graph.tensors[index], best_range(activations[index], CLIP_POWER))


def _set(tensor: schema.TensorT, span: tuple[float, float]) -> None:
    if tensor.quantization is not None and tensor.quantization.min is not None and span[0] < span[1]:
        tensor.quantization.min = np.array(span[:1], np.float32)
        tensor.quantization.max = np.array(span[1:], np.float32)
