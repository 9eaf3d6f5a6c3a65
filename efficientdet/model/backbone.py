"""EfficientNet (arXiv 1905.11946) and EfficientNet-Lite as feature extractors."""

from __future__ import annotations

import math

import keras

from efficientdet.model.layers import DropConnect, Shape, build_chain
from efficientdet.model.mbconv import MBConvBlock, Stage, Stem

STEM_FILTERS = 32
SQUEEZE_RATIO = 0.25
SURVIVAL = 0.8  # of the deepest block; google/automl trains every backbone so except b0, which drops nothing


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
