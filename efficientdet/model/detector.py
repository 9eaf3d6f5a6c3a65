"""EfficientDet: backbone, BiFPN and heads put together as a config says."""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import ops

from efficientdet.anchors import feature_sizes
from efficientdet.config import Config
from efficientdet.model.backbone import Backbone
from efficientdet.model.bifpn import BiFPN
from efficientdet.model.heads import PRIOR, Head
from efficientdet.model.layers import Resample

BACKBONE_LEVELS = 5  # the coarsest level the backbone itself delivers; above it, features are pooled


class RawOutputs(NamedTuple):
    """What the network says about every anchor, level by level from fine to coarse.

    class_logits: per level `[b, h, w, a * k]` float32, anchors before classes.
    box_deltas: per level `[b, h, w, a * 4]` float32, the code of `efficientdet.anchors.encode`.
    """

    class_logits: list[keras.KerasTensor]
    box_deltas: list[keras.KerasTensor]


def build_detector(config: Config, num_classes: int) -> keras.Model:
    """The network with random weights.

    Args:
      config: names the architecture, the input size and the anchors of a cell.
      num_classes: k, without background.

    Returns:
      A functional model from normalised images `[b, h, w, 3]` float32 (see `normalise`) to RawOutputs.
      Its layers and variables bear google/automl's names (see `reference_name`).
    """
    architecture = config.model.architecture
    levels = range(architecture.min_level, architecture.max_level + 1)
    sizes = feature_sizes(config.model.input_size, levels[0], levels[-1])
    anchors = config.model.num_scales * len(config.model.aspect_ratios)
    filters, activation = architecture.fpn_filters, architecture.activation

    images = keras.Input((*config.model.input_size, 3), name="images")
    features = Backbone(architecture.backbone, seed=config.training.seed)(images)[levels[0] - 1 :]
    for level in range(BACKBONE_LEVELS + 1, levels[-1] + 1):
        features = [*features, Resample(sizes[level - levels[0]], filters, name=f"resample_p{level}")(features[-1])]
    bifpn = BiFPN(sizes, filters, architecture.fpn_repeats, architecture.fusion, activation, name="fpn_cells")
    features = bifpn(features)
    hidden = (levels, filters, architecture.head_repeats, activation)
    classes = Head("class", *hidden, channels=anchors * num_classes, prior=PRIOR)
    boxes = Head("box", *hidden, channels=anchors * 4)
    return keras.Model(images, RawOutputs(classes(features), boxes(features)), name=config.model.name)


def normalise(images: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Images `[..., 3]` in 0..255, of any dtype, as the float32 input of the config's network."""
    architecture = config.model.architecture
    mean = ops.convert_to_tensor(architecture.mean, dtype="float32")
    stddev = ops.convert_to_tensor(architecture.stddev, dtype="float32")
    return (ops.cast(images, "float32") - mean) / stddev


def reference_name(variable: keras.Variable) -> str:
    """The name google/automl's checkpoints give to a variable of the detector.

    It is the Keras path, except that Keras 3 calls the kernel of a depthwise convolution plainly `kernel`.
    """
    return variable.path.replace("depthwise_conv2d/kernel", "depthwise_conv2d/depthwise_kernel")
