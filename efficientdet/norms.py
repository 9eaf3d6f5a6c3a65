"""Batch normalisation on the devices of a run."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from efficientdet.model.layers import BatchNorm


def set_up_norms(model: keras.Model, replicas: int) -> None:
    """Makes normalisations use the statistics of the global batch, on a single device by TensorFlow's kernel."""
    for layer in model._flatten_layers():
        if isinstance(layer, BatchNorm):
            layer.synchronized, layer.replicas = replicas > 1, replicas
            layer.kernel = _fused_norm if replicas == 1 else None


def freeze_norms(model: keras.Model, unfrozen: Sequence[keras.Variable]) -> None:
    """Stops the moving statistics of every normalisation whose scale is not among the variables that train."""
    moving = {id(v) for v in unfrozen}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and id(layer.gamma) not in moving:
            layer.trainable = False


def _fused_norm(
    inputs: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Outputs, and the batch's mean and variance by channel."""
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, scale, shift, epsilon=epsilon)
    return outputs, mean, variance
