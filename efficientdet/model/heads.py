"""The prediction heads: what each anchor shows, where the box lies, and, optionally, what each pixel shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import ops

from efficientdet.model.layers import (
    BatchNorm,
    DropConnect,
    Shape,
    Style,
    activation_function,
    batch_norm,
    build_chain,
    conv3x3,
    recomputed,
)

PRIOR = 0.01  # initial probability of every class, so that the first steps do not drown in background (1708.02002)


class Head(keras.layers.Layer):
    """`repeats` 3x3 convolutions and a prediction, the same at every level, with normalisation per level.

    A list of feature maps `[b, h, w, filters]`, one per level, to a list of float predictions
    `[b, h, w, channels]`.

    Args:
      prefix: `class` or `box`, the first part of every sublayer's name.
      levels: pyramid levels of the inputs.
      filters: channels of inputs and hidden layers.
      repeats: hidden layers.
      style: of the convolutions.
      channels: of the prediction: anchors per cell times values per anchor.
      prior: initial probability of each output, if they are logits.
      drop_connect: makes hidden layers after the first residual, and drops their branches in training.
      recompute: compute hidden activations again in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        prefix: str,
        levels: range,
        filters: int,
        repeats: int,
        style: Style,
        channels: int,
        prior: float | None = None,
        drop_connect: DropConnect | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__(name=f"{prefix}_net")
        conv = partial(conv3x3, style=style, initializer=keras.initializers.VarianceScaling)
        self.convs = [conv(filters, name=f"{prefix}-{i}") for i in range(repeats)]
        self.norms = [[batch_norm(f"{prefix}-{i}-bn-{level}") for level in levels] for i in range(repeats)]
        bias = 0.0 if prior is None else -math.log((1 - prior) / prior)
        self.predict = conv(channels, name=f"{prefix}-predict", bias=bias)
        self.activation = activation_function(style.activation)
        self.drop_connect = drop_connect
        self.recompute = recompute

    def build(self, shapes: list[Shape]) -> None:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            conv.build(shapes[0])
            for norm, shape in zip(norms, shapes, strict=True):
                norm.build(shape)
        self.predict.build(shapes[0])

    def call(self, features: list[keras.KerasTensor], training: bool | None = None) -> list[keras.KerasTensor]:
        return [self.predict(f) for f in self.hidden(features, training)]

    def hidden(self, features: list[keras.KerasTensor], training: bool | None = None) -> list[keras.KerasTensor]:
        """The features `[b, h, w, filters]` of each level that the predictions are made from."""
        return [self._hidden(level, f, training) for level, f in enumerate(features)]

    def compute_output_shape(self, shapes: list[Shape]) -> list[Shape]:
        return [(*shape[:-1], self.predict.filters) for shape in shapes]

    def _hidden(self, level: int, features: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        for i, (conv, norms) in enumerate(zip(self.convs, self.norms, strict=True)):
            run: Callable[..., keras.KerasTensor] = partial(self._layer, conv, norms[level], training=training)
            if training and self.recompute:
                run = recomputed(run, [norms[level]])
            branch = run(features)
            if self.drop_connect is not None and i > 0:
                branch = features + self.drop_connect(branch, training=training)
            features = branch
        return features

    def _layer(
        self, conv: keras.layers.Layer, norm: BatchNorm, features: keras.KerasTensor, training: bool | None
    ) -> keras.KerasTensor:
        return self.activation(norm(conv(features), training=training))


class SegmentationHead(keras.layers.Layer):
    """From the coarsest level up to twice the finest: logits `[b, 2h, 2w, classes]` for each pixel's class.

    Takes the pyramid's feature maps `[b, h, w, filters]`, each twice as large as the next.
    """

    def __init__(self, num_levels: int, filters: int, classes: int, activation: str) -> None:
        super().__init__(name="segmentation_head")
        up = partial(keras.layers.Conv2DTranspose, kernel_size=3, strides=2, padding="same")
        names = ["conv2d_transpose", *(f"conv2d_transpose_{i}" for i in range(1, num_levels))]
        self.ups = [up(filters, use_bias=False, name=name) for name in names[:-1]]
        self.norms = [batch_norm(f"bn_{i}") for i in range(num_levels - 1)]
        self.predict = up(classes, name=names[-1])
        self.activation = activation_function(activation)

    def build(self, shapes: list[Shape]) -> None:
        shape = shapes[-1]
        for up, norm, skip in zip(self.ups, self.norms, reversed(shapes[:-1]), strict=True):
            shape = build_chain([up, norm], shape)
            shape = (*skip[:-1], int(shape[-1] or 0) + int(skip[-1] or 0))
        self.predict.build(shape)

    def call(self, features: list[keras.KerasTensor]) -> keras.KerasTensor:
        pixels = features[-1]
        for up, norm, skip in zip(self.ups, self.norms, reversed(features[:-1]), strict=True):
            pixels = ops.concatenate([self.activation(norm(up(pixels))), skip], axis=-1)
        return self.predict(pixels)

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        return tuple(self.predict.compute_output_shape((*shapes[0][:-1], 0)))
