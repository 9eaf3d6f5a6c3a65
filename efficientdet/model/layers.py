"""Layers that backbone, BiFPN and heads share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

BATCH_NORM_MOMENTUM = 0.99
BATCH_NORM_EPSILON = 1e-3

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Style:
    """What all convolutions of pyramid and heads have in common; the fields are those of `Architecture`."""

    activation: str = "swish"
    separable_conv: bool = True
    conv_bn_act: bool = False
    resample_bn: bool = True
    conv_after_downsample: bool = False


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation of `[b, h, w, c]` whose training step equals TensorFlow's fused kernel.

    Keras normalises by x * scale + (beta - mean * scale), which loses digits where the mean is large, and moves
    the variance by the batch's own; the kernel, and so the reference, by the unbiased estimate. Statistics are in
    float32 whatever the network computes in.

    Attributes:
      replicas: devices that share a batch; with `synchronized` they normalise by the statistics of all of it.
      kernel: a backend's own normalisation in training, faster than the same in single operations: from inputs,
        scale `[c]`, shift `[c]` and epsilon to the outputs, the batch's mean `[c]` and its unbiased variance `[c]`.
    """

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        # Else a network of lower precision would round scale and shift, and the moving statistics with them.
        super().__init__(name=name, autocast=False, **settings)
        self.replicas = 1
        self.kernel: Callable[..., tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]] | None = None

    def call(
        self, inputs: keras.KerasTensor, training: bool | None = None, mask: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        if self.kernel is not None:
            outputs, mean, variance = self.kernel(inputs, self.gamma, self.beta, self.epsilon)
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
            return outputs
        values = ops.cast(inputs, "float32")
        mean, variance = self._moments(values, mask)
        count = ops.cast(ops.prod(ops.shape(values)[:-1]) * self.replicas, "float32")
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (count / ops.maximum(count - 1.0, 1.0)))
        scaled = (values - mean) * (self.gamma * ops.rsqrt(variance + self.epsilon)) + self.beta
        return ops.cast(scaled, self.compute_dtype)

    def _move(self, statistic: keras.Variable, value: keras.KerasTensor) -> None:
        statistic.assign(statistic * self.momentum + value * (1.0 - self.momentum))


def batch_norm(name: str) -> BatchNorm:
    """The batch normalisation used everywhere in EfficientDet."""
    return BatchNorm(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)


def build_chain(layers: Iterable[keras.layers.Layer], shape: Shape) -> Shape:
    """Builds layers that feed one another, the first from `shape`; returns the shape of the last output."""
    for layer in layers:
        if not layer.built:
            layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def activation_function(name: str) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    """Elementwise swish, relu, relu6, mish or hswish: x * relu6(x + 3) / 6 (arXiv 1905.02244)."""
    return keras.activations.get({"hswish": "hard_swish"}.get(name, name))


def conv3x3(
    filters: int,
    style: Style,
    name: str,
    use_bias: bool = True,
    bias: float = 0.0,
    initializer: Callable[[], keras.initializers.Initializer] = keras.initializers.GlorotUniform,
) -> keras.layers.Layer:
    """A 3x3 convolution `[b, h, w, c]` to `[b, h, w, filters]`, separable or plain; `bias` is its initial bias."""
    settings = {"padding": "same", "use_bias": use_bias, "bias_initializer": keras.initializers.Constant(bias)}
    if not style.separable_conv:
        return keras.layers.Conv2D(filters, 3, kernel_initializer=initializer(), name=name, **settings)
    settings |= {"depthwise_initializer": initializer(), "pointwise_initializer": initializer()}
    return keras.layers.SeparableConv2D(filters, 3, name=name, **settings)


def recomputed(
    function: Callable[..., keras.KerasTensor], norms: Iterable[BatchNorm]
) -> Callable[..., keras.KerasTensor]:
    """`function` of tensors that keeps no activations for the backward pass but computes them again in it.

    `function` must draw nothing at random and pass `training` on itself: the second pass runs outside of the layers'
    call. `norms` are the normalisations it calls; their moving statistics move in the first pass only.
    """
    passes = 0

    def run(*inputs: keras.KerasTensor) -> keras.KerasTensor:
        nonlocal passes
        passes += 1
        with ExitStack() as stack:
            if passes > 1:
                stack.enter_context(_held(norms))
            return function(*inputs)

    return keras.remat(run)


@contextmanager
def _held(norms: Iterable[BatchNorm]) -> Iterator[None]:
    """Within, moving statistics stay as they are: with momentum 1 an update changes nothing."""
    momenta = [(norm, norm.momentum) for norm in norms]
    for norm, _ in momenta:
        norm.momentum = 1.0
    try:
        yield
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum


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

    def draw(self, branch: keras.KerasTensor) -> keras.KerasTensor:
        """Factors `[b, 1, 1, 1]`, 0 or 1 / survival, for the images of `branch`."""
        draws = keras.random.uniform((ops.shape(branch)[0], 1, 1, 1), seed=self.seed_generator)
        return ops.cast(draws < self.survival, branch.dtype) / self.survival

    def call(self, branch: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        return branch * self.draw(branch) if training else branch

    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape


class Resample(keras.layers.Layer):
    """Brings a feature map `[b, h, w, c]` to `[b, *size, filters]`.

    Channels, by a 1x1 convolution and batch normalisation, only where they differ; size, per axis: down by
    max-pooling, up by nearest neighbour without half-pixel centres. Channels change first, except that a style
    may ask for pooling first.
    """

    def __init__(
        self, size: tuple[int, int], filters: int, style: Style | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.size = size
        self.filters = filters
        self.style = style or Style()
        self.conv2d: keras.layers.Conv2D | None = None
        self.bn: BatchNorm | None = None

    def build(self, shape: Shape) -> None:
        if shape[-1] == self.filters:
            return
        self.conv2d = keras.layers.Conv2D(self.filters, 1, padding="same", name="conv2d")
        self.bn = batch_norm("bn") if self.style.resample_bn else None
        build_chain([layer for layer in (self.conv2d, self.bn) if layer is not None], shape)

    def call(self, features: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        height, width = features.shape[1:3]
        shrinks = height > self.size[0] or width > self.size[1]
        pool_first = shrinks and self.style.conv_after_downsample
        if not pool_first:
            features = self._convert(features, training)
        if shrinks:
            features = _pool(features, self.size)
        if height < self.size[0] or width < self.size[1]:
            features = _enlarge(features, self.size, training)
        return self._convert(features, training) if pool_first else features

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.size, self.filters)

    def _convert(self, features: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        if self.conv2d is not None:
            features = self.conv2d(features)
        return features if self.bn is None else self.bn(features, training=training)


def _pool(features: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """Max-pooling to at most `size`: the stride that gets there, and windows one wider than the stride."""
    strides = tuple((side - 1) // target + 1 for side, target in zip(features.shape[1:3], size, strict=True))
    return ops.max_pool(features, tuple(s + 1 for s in strides), strides, padding="same")


def _enlarge(features: keras.KerasTensor, size: tuple[int, int], training: bool | None) -> keras.KerasTensor:
    """Cell i of an axis from cell floor(i * before / after).

    Between neighbouring levels every cell is repeated by a whole factor and the last one cut. In inference that is
    TFLite's RESIZE_NEAREST_NEIGHBOR and perhaps a slice; in training not, because XLA knows no gradient for it.
    """
    before = features.shape[1:3]
    sources = [_sources(old, new) for old, new in zip(before, size, strict=True)]
    factors = [-(-new // old) for old, new in zip(before, size, strict=True)]
    if any(np.any(source != np.arange(len(source)) // f) for source, f in zip(sources, factors, strict=True)):
        return ops.take(ops.take(features, sources[0], axis=1), sources[1], axis=2)
    whole = (before[0] * factors[0], before[1] * factors[1])
    enlarged = _repeat(features, factors) if training else ops.image.resize(features, whole, interpolation="nearest")
    return enlarged if whole == size else enlarged[:, : size[0], : size[1]]


def _sources(before: int, after: int) -> np.ndarray:
    # In float32, as TensorFlow's kernel counts: over a factor of 41, say, it takes a cell too low here and there.
    cells = np.arange(after, dtype=np.float32) * np.float32(before / after)
    return np.minimum(cells.astype(np.int32), before - 1)


def _repeat(features: keras.KerasTensor, factors: list[int]) -> keras.KerasTensor:
    """Every cell `factors` times down and across."""
    height, width, channels = features.shape[1:]
    cells = ops.reshape(features, (-1, height, 1, width, 1, channels))
    cells = ops.tile(cells, (1, 1, factors[0], 1, factors[1], 1))
    return ops.reshape(cells, (-1, height * factors[0], width * factors[1], channels))
