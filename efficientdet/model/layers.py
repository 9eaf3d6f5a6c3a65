"""Layers that backbone, BiFPN and heads share."""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras import ops

BATCH_NORM_MOMENTUM = 0.99
BATCH_NORM_EPSILON = 1e-3

Shape = tuple[int | None, ...]


def batch_norm(name: str) -> keras.layers.BatchNormalization:
    """The batch normalisation used everywhere in EfficientDet."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)


def build_chain(layers: Iterable[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds layers that feed one another, the first from `shape`; returns the shape of the last output."""
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


class DropConnect(keras.layers.Layer):
    """Stochastic depth (arXiv 1603.09382): in training, zeroes whole images of a residual branch `[b, h, w, c]`.

    Survivors are divided by `survival`, the probability of an image to pass, so that the expectation stays.
    Draws come from `seed_generator`, whose state is among `model.variables` though not `model.weights`: restored
    with the other values, a resumed run draws what an unbroken one would have drawn.
    """

    def __init__(self, survival: float, seed_generator: keras.random.SeedGenerator, name: str | None = None) -> None:
        super().__init__(name=name)
        self.survival = survival
        self.seed_generator = seed_generator

    def call(self, branch: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        if not training:
            return branch
        draws = keras.random.uniform((ops.shape(branch)[0], 1, 1, 1), seed=self.seed_generator)
        passes = ops.cast(draws < self.survival, branch.dtype)
        return branch / self.survival * passes

    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape


class Resample(keras.layers.Layer):
    """Brings a feature map `[b, h, w, c]` to `[b, *size, filters]`.

    Channels first, by a 1x1 convolution and batch normalisation, only where they differ; then size, per axis:
    down by max-pooling, up by repeating. Where `size` is odd and twice `h` is one too many, the last row is cut:
    for feature sizes made by halving and rounding up this equals nearest neighbour without half-pixel centres.
    """

    def __init__(self, size: tuple[int, int], filters: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.size = size
        self.filters = filters
        self.conv2d: keras.layers.Conv2D | None = None
        self.bn: keras.layers.BatchNormalization | None = None

    def build(self, shape: Shape) -> None:
        if shape[-1] != self.filters:
            self.conv2d = keras.layers.Conv2D(self.filters, 1, padding="same", name="conv2d")
            self.bn = batch_norm("bn")
            build_chain([self.conv2d, self.bn], shape)

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        if self.conv2d is not None and self.bn is not None:
            features = self.bn(self.conv2d(features))
        height, width = features.shape[1:3]
        if height > self.size[0] or width > self.size[1]:
            features = _pool(features, self.size)
        if height < self.size[0] or width < self.size[1]:
            features = _repeat(features, self.size)
        return features

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.size, self.filters)


def _pool(features: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """Max-pooling to at most `size`: the stride that gets there, and windows one wider than the stride."""
    strides = tuple((side - 1) // target + 1 for side, target in zip(features.shape[1:3], size, strict=True))
    return ops.max_pool(features, tuple(s + 1 for s in strides), strides, padding="same")


def _repeat(features: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """Every cell repeated by a whole factor, cut to `size`; becomes TFLite's RESIZE_NEAREST_NEIGHBOR."""
    height, width = features.shape[1:3]
    whole = (-(-size[0] // height) * height, -(-size[1] // width) * width)
    features = ops.image.resize(features, whole, interpolation="nearest")
    return features if whole == size else features[:, : size[0], : size[1]]
