"""EfficientNet (arXiv 1905.11946) and EfficientNet-Lite as feature extractors."""

from __future__ import annotations

import math
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

STEM_FILTERS = 32
SQUEEZE_RATIO = 0.25
SURVIVAL = 0.8  # of the deepest block; google/automl trains every backbone so except b0, which drops nothing


@dataclass(frozen=True)
class Stage:
    """One row of table 1 of the EfficientNet paper: `repeats` blocks, the first of which has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expand_ratio: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)

# (width, depth) multipliers by the last character of the backbone's name (table 8 of google/automl's EfficientNet).
SCALES = {
    "0": (1.0, 1.0),
    "1": (1.0, 1.1),
    "2": (1.1, 1.2),
    "3": (1.2, 1.4),
    "4": (1.4, 1.8),
    "5": (1.6, 2.2),
    "6": (1.8, 2.6),
    "7": (2.0, 3.1),
}

# google/automl's names of a block's batch normalisations, numbered by use.
_BN = ("tpu_batch_normalization", "tpu_batch_normalization_1", "tpu_batch_normalization_2")


def round_filters(filters: int, width: float) -> int:
    """`filters` times `width` as a multiple of 8, never more than a tenth below the product."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def scaled_stages(width: float, depth: float, lite: bool) -> list[Stage]:
    """The stages of a scaled network; lite networks keep the repeats of the first and last stage."""
    ends = (STAGES[0], STAGES[-1])
    return [
        Stage(
            repeats=s.repeats if lite and s in ends else math.ceil(s.repeats * depth),
            kernel_size=s.kernel_size,
            stride=s.stride,
            expand_ratio=s.expand_ratio,
            filters=round_filters(s.filters, width),
        )
        for s in STAGES
    ]


class Backbone(keras.layers.Layer):
    """EfficientNet without its classifier: images `[b, h, w, 3]` to five feature maps of strides 2, 4, 8, 16, 32.

    Args:
      name: `efficientnet-b0` .. `-b7` or `efficientnet-lite0` .. `-lite4`. Lite networks have relu6 instead of
        swish, no squeeze-and-excitation, and an unscaled stem.
      activation: of every block; by default relu6 for lite networks and swish for others.
      seed: of the stochastic depth drawn in training (b0 has none).
      recompute: compute the blocks' activations again in the backward pass instead of keeping them.
    """

    def __init__(self, name: str, activation: str | None = None, seed: int = 0, recompute: bool = False) -> None:
        super().__init__(name=name)
        lite = "-lite" in name
        width, depth = SCALES[name[-1]]
        activation = activation or ("relu6" if lite else "swish")
        stem_filters = STEM_FILTERS if lite else round_filters(STEM_FILTERS, width)
        self.stem = Stem(stem_filters, activation, name="stem")
        stages = scaled_stages(width, depth, lite)
        total = sum(stage.repeats for stage in stages)
        seed_generator = keras.random.SeedGenerator(seed, name="stochastic_depth")
        self.blocks: list[MBConvBlock] = []
        filters = stem_filters
        for stage in stages:
            for i in range(stage.repeats):
                index = len(self.blocks)
                drops = index > 0 and not name.endswith("b0")
                survival = 1.0 - (1.0 - SURVIVAL) * index / total
                block = MBConvBlock(
                    stage,
                    input_filters=filters,
                    stride=stage.stride if i == 0 else 1,
                    squeeze_ratio=0.0 if lite else SQUEEZE_RATIO,
                    activation=activation,
                    drop_connect=DropConnect(survival, seed_generator) if drops else None,
                    recompute=recompute,
                    name=f"blocks_{index}",
                )
                self.blocks.append(block)
                filters = stage.filters

    def build(self, shape: Shape) -> None:
        build_chain([self.stem, *self.blocks], shape)

    def call(self, images: keras.KerasTensor) -> list[keras.KerasTensor]:
        features = self.stem(images)
        levels = []
        for block in self.blocks:
            if block.stride == 2:
                levels.append(features)
            features = block(features)
        return [*levels, features]

    def compute_output_shape(self, shape: Shape) -> list[Shape]:
        shape = self.stem.compute_output_shape(shape)
        levels = []
        for block in self.blocks:
            if block.stride == 2:
                levels.append(shape)
            shape = block.compute_output_shape(shape)
        return [*levels, shape]


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
