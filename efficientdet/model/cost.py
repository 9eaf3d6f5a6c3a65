"""What a network costs, read off the graph that TensorFlow will run."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import tensorflow as tf


class Convolution(NamedTuple):
    """One convolution of the forward pass.

    kind: `Conv2D` or `DepthwiseConv2dNative`.
    inputs: `(b, h, w, c)`; kernel: `(h, w, c, out)`, or `(h, w, c, multiplier)` of a depthwise one;
    outputs: `(b, h, w, c)`; strides: (down, across).
    """

    kind: str
    inputs: tuple[int, ...]
    kernel: tuple[int, ...]
    outputs: tuple[int, ...]
    strides: tuple[int, int]

    @property
    def macs(self) -> int:
        """Multiply-adds: every output value takes a window, of all input channels or of its own."""
        window = math.prod(self.kernel[:2]) * (1 if self.kind.startswith("Depthwise") else self.kernel[2])
        return math.prod(self.outputs) * window


def multiply_adds(model: keras.Model) -> int:
    """Half the floating-point operations of inference on one image, as TensorFlow's profiler counts them.

    Batch normalisation counts nothing: an inference engine folds it into the convolution before it.
    """
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    options["trim_name_regexes"] = [".*/batchnorm"]
    return tf.compat.v1.profiler.profile(_graph(model, 1), options=options).total_float_ops // 2


def convolutions(model: keras.Model, batch_size: int = 1) -> list[Convolution]:
    """Every convolution that inference on a batch of the model's input size runs, in order."""
    ops = [op for op in _graph(model, batch_size).get_operations() if op.type in ("Conv2D", "DepthwiseConv2dNative")]
    return [
        Convolution(
            op.type,
            inputs=tuple(op.inputs[0].shape),
            kernel=tuple(op.inputs[1].shape),
            outputs=tuple(op.outputs[0].shape),
            strides=tuple(op.get_attr("strides")[1:3]),
        )
        for op in ops
    ]


def _graph(model: keras.Model, batch_size: int) -> tf.Graph:
    images = tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32)
    return tf.function(lambda x: model(x, training=False)).get_concrete_function(images).graph
