"""The two prediction heads: what each anchor shows, and where the box lies."""

from __future__ import annotations

import math

import keras

from efficientdet.model.layers import Shape, batch_norm

PRIOR = 0.01  # initial probability of every class, so that the first steps do not drown in background (1708.02002)


class Head(keras.layers.Layer):
    """`repeats` separable convolutions and a prediction, the same at every level, with normalisation per level.

    A list of feature maps `[b, h, w, filters]`, one per level, to a list of float predictions
    `[b, h, w, channels]`.

    Args:
      prefix: `class` or `box`, the first part of every sublayer's name.
      levels: pyramid levels of the inputs.
      filters: channels of inputs and hidden layers.
      repeats: hidden layers.
      activation: name of the Keras activation.
      channels: of the prediction: anchors per cell times values per anchor.
      prior: initial probability of each output, if they are logits.
    """

    def __init__(
        self,
        prefix: str,
        levels: range,
        filters: int,
        repeats: int,
        activation: str,
        channels: int,
        prior: float | None = None,
    ) -> None:
        super().__init__(name=f"{prefix}_net")
        self.convs = [_separable(filters, f"{prefix}-{i}") for i in range(repeats)]
        self.norms = [[batch_norm(f"{prefix}-{i}-bn-{level}") for level in levels] for i in range(repeats)]
        bias = 0.0 if prior is None else -math.log((1 - prior) / prior)
        self.predict = _separable(channels, f"{prefix}-predict", bias)
        self.activation = keras.activations.get(activation)

    def build(self, shapes: list[Shape]) -> None:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            conv.build(shapes[0])
            for norm, shape in zip(norms, shapes, strict=True):
                norm.build(shape)
        self.predict.build(shapes[0])

    def call(self, features: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        return [self._predict(level, f) for level, f in enumerate(features)]

    def compute_output_shape(self, shapes: list[Shape]) -> list[Shape]:
        return [(*shape[:-1], self.predict.filters) for shape in shapes]

    def _predict(self, level: int, features: keras.KerasTensor) -> keras.KerasTensor:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            features = self.activation(norms[level](conv(features)))
        return self.predict(features)


def _separable(filters: int, name: str, bias: float = 0.0) -> keras.layers.SeparableConv2D:
    return keras.layers.SeparableConv2D(
        filters,
        3,
        padding="same",
        depthwise_initializer=keras.initializers.VarianceScaling(),
        pointwise_initializer=keras.initializers.VarianceScaling(),
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )
