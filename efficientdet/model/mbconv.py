"""The building blocks of EfficientNet: the stem, and inverted residuals with squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import ops

from efficientdet.model.layers import (
    BatchNorm,
    DropConnect,
    Shape,
    activation_function,
    batch_norm,
    build_chain,
    recomputed,
)

# google/automl's names of a block's batch normalisations, numbered by use.
_BN = ("tpu_batch_normalization", "tpu_batch_normalization_1", "tpu_batch_normalization_2")


@dataclass(frozen=True)
class Stage:
    """One row of table 1 of the EfficientNet paper: `repeats` blocks, the first of which has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expand_ratio: int
    filters: int


class Stem(keras.layers.Layer):
    """The first convolution: images `[b, h, w, 3]` to `[b, h/2, w/2, filters]`."""

    def __init__(self, filters: int, activation: str, name: str) -> None:
        super().__init__(name=name)
        self.body = [
            _conv(filters, 3, "conv2d", strides=2),
            batch_norm(_BN[0]),
            _activation(activation),
        ]

    def build(self, shape: Shape) -> None:
        build_chain(self.body, shape)

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        for layer in self.body:
            images = layer(images)
        return images

    def compute_output_shape(self, shape: Shape) -> Shape:
        return build_chain(self.body, shape)


class MBConvBlock(keras.layers.Layer):
    """Inverted residual (arXiv 1801.04381): expand, depthwise convolution, squeeze and excite, project.

    `[b, h, w, input_filters]` to `[b, h/stride, w/stride, filters]`; the input is added where shapes agree.
    Sublayers bear the names of google/automl's checkpoints, which number convolutions and normalisations.
    """

    def __init__(
        self,
        stage: Stage,
        input_filters: int,
        stride: int,
        squeeze_ratio: float,
        activation: str,
        drop_connect: DropConnect | None,
        recompute: bool,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.stride = stride
        self.recompute = recompute
        self.residual = stride == 1 and input_filters == stage.filters
        self.drop_connect = drop_connect if self.residual else None
        expanded = input_filters * stage.expand_ratio
        expands = stage.expand_ratio != 1
        self.body = []
        if expands:
            self.body += [_conv(expanded, 1, "conv2d"), batch_norm(_BN[0]), _activation(activation)]
        self.body += [
            _depthwise(stage.kernel_size, stride),
            batch_norm(_BN[expands]),
            _activation(activation),
        ]
        if squeeze_ratio:
            squeezed = max(1, int(input_filters * squeeze_ratio))
            self.body.append(SqueezeExcite(squeezed, expanded, activation, name="se"))
        self.body += [_conv(stage.filters, 1, "conv2d_1" if expands else "conv2d"), batch_norm(_BN[1 + expands])]

    def build(self, shape: Shape) -> None:
        build_chain(self.body, shape)

    def call(self, features: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        run: Callable[..., keras.KerasTensor] = partial(self._branch, training=training)
        if training and self.recompute:
            run = recomputed(run, [layer for layer in self.body if isinstance(layer, BatchNorm)])
        branch = run(features)
        if self.drop_connect is not None:
            branch = self.drop_connect(branch)
        return features + branch if self.residual else branch

    def _branch(self, features: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        for layer in self.body:
            features = layer(features, training=training) if isinstance(layer, BatchNorm) else layer(features)
        return features

    def compute_output_shape(self, shape: Shape) -> Shape:
        return build_chain(self.body, shape)


class SqueezeExcite(keras.layers.Layer):
    """Scales the channels of `[b, h, w, filters]` by what their means say (arXiv 1709.01507)."""

    def __init__(self, squeezed: int, filters: int, activation: str, name: str) -> None:
        super().__init__(name=name)
        self.reduce = _conv(squeezed, 1, "conv2d", use_bias=True)
        self.expand = _conv(filters, 1, "conv2d_1", use_bias=True)
        self.activation = activation_function(activation)

    def build(self, shape: Shape) -> None:
        build_chain([self.reduce, self.expand], shape)

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        means = ops.mean(features, axis=(1, 2), keepdims=True)
        return ops.sigmoid(self.expand(self.activation(self.reduce(means)))) * features

    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape


def _activation(name: str) -> keras.layers.Layer:
    return keras.layers.Activation(activation_function(name))


def _conv(filters: int, kernel_size: int, name: str, strides: int = 1, use_bias: bool = False) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_fan_out_normal(),
        name=name,
    )


def _depthwise(kernel_size: int, stride: int) -> keras.layers.DepthwiseConv2D:
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_fan_out_normal(),
        name="depthwise_conv2d",
    )


def _fan_out_normal() -> keras.initializers.Initializer:
    """Normal of variance 2 / fan-out, the initial kernels of EfficientNet."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
