"""Biases that make up for rounded weights: what rounding moves the mean of each channel by is taken off beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from efficientdet.activations import Activation
from efficientdet.tflite_operators import add_constant, constant, is_convolution, is_depthwise

WEIGHT_STEPS = 127


def corrected_biases(model: schema.ModelT, activations: Mapping[int, Activation]) -> dict[int, NDArray[np.float32]]:
    """Biases for convolutions whose weights are going to be int8, with a scale for each channel; by place of operator.

    A convolution is linear: the mean error of its answer is the answer of the weights' error to its mean input, which
    `activations` holds by tensor index (`efficientdet.activations.observe`).
    """
    biases = {}
    for place, op in enumerate(model.subgraphs[0].operators):
        if not is_convolution(model, op) or len(op.inputs) < 3 or op.inputs[2] < 0:
            continue
        mean = activations[int(op.inputs[0])].mean
        assert mean is not None
        moved = _answer(model, op, mean, rounding_error(constant(model, int(op.inputs[1])), _axis(model, op)))
        bias = constant(model, int(op.inputs[2])) - moved.mean(axis=(0, 1, 2), dtype=np.float64)
        biases[place] = np.asarray(bias, np.float32)
    return biases


def set_bias(model: schema.ModelT, place: int, bias: NDArray[np.float32]) -> None:
    """Gives the convolution at that place a bias of its own; all whose biases were equal, zero mostly, shared one."""
    op = model.subgraphs[0].operators[place]
    op.inputs = np.array([*op.inputs[:2], add_constant(model, int(op.inputs[2]), bias)], np.int32)


def rounding_error(weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """What is added to weights by rounding them to int8, each channel along `axis` by its own scale."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scale = np.abs(weights).max(axis=others, keepdims=True) / WEIGHT_STEPS
    scale[scale == 0] = 1
    return np.asarray(np.round(weights / scale) * scale - weights, np.float32)


def _axis(model: schema.ModelT, op: schema.OperatorT) -> int:
    """Of the channels that have scales of their own: the outputs."""
    return 3 if is_depthwise(model, op) else 0


def _answer(
    model: schema.ModelT, op: schema.OperatorT, image: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`[1, h, w, c]` of the convolution with other weights, without bias and activation."""
    options = op.builtinOptions
    padding = "SAME" if options.padding == schema.Padding.SAME else "VALID"
    strides = [1, options.strideH, options.strideW, 1]
    kernel = tf.transpose(weights, [1, 2, 3, 0])  # depthwise: [h, w, c, 1], else [h, w, in, out]
    if is_depthwise(model, op):
        kernel = tf.reshape(kernel, [*kernel.shape[:2], image.shape[-1], -1])
        return np.asarray(tf.nn.depthwise_conv2d(image, kernel, strides, padding))
    return np.asarray(tf.nn.conv2d(image, kernel, strides, padding))
