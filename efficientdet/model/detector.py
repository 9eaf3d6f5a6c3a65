"""EfficientDet: backbone, BiFPN and heads put together as a config says."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import partial
from typing import NamedTuple

import keras
from keras import ops

from efficientdet.architectures import feature_sizes
from efficientdet.config import Config
from efficientdet.model.backbone import Backbone
from efficientdet.model.bifpn import BiFPN, bifpn_nodes, qufpn_nodes
from efficientdet.model.heads import PRIOR, Head, SegmentationHead
from efficientdet.model.layers import DropConnect, Resample, Style

BACKBONE_LEVELS = 5  # the coarsest level the backbone itself delivers; above it, features are pooled


class RawOutputs(NamedTuple):
    """What the network says about every anchor, level by level from fine to coarse.

    class_logits: per level `[b, h, w, a * k]` float32, anchors before classes.
    box_deltas: per level `[b, h, w, a * 4]` float32, the code of `efficientdet.anchors.encode`.
    """

    class_logits: list[keras.KerasTensor]
    box_deltas: list[keras.KerasTensor]


class SegmentedOutputs(NamedTuple):
    """RawOutputs of a network that also has a segmentation head.

    segmentation: class logits per pixel, `[b, h, w, segmentation_classes]`, at half the finest level's stride.
    """

    class_logits: list[keras.KerasTensor]
    box_deltas: list[keras.KerasTensor]
    segmentation: keras.KerasTensor


def build_detector(config: Config, num_classes: int) -> keras.Model:
    """The network with random weights.

    Args:
      config: describes the network, its input size and the anchors of a cell.
      num_classes: k, without background.

    Returns:
      A functional model from normalised images `[b, h, w, 3]` float32 (see `normalise`) to RawOutputs, or
      SegmentedOutputs if the config has that head. Layers and variables bear google/automl's names (see
      `reference_name`).
    """
    architecture, recompute = config.model.architecture, config.training.grad_checkpoint
    levels, filters = architecture.levels, architecture.fpn_filters
    sizes = feature_sizes(config.model.input_size, levels[0], levels[-1])
    style = Style(**{field.name: getattr(architecture, field.name) for field in fields(Style)})

    images = keras.Input((*config.model.input_size, 3), name="images")
    backbone = Backbone(architecture.backbone, architecture.activation, config.training.seed, recompute)
    features = backbone(images)[levels[0] - 1 : levels[-1]]
    for level in range(BACKBONE_LEVELS + 1, levels[-1] + 1):
        resample = Resample(sizes[level - levels[0]], filters, style, name=f"resample_p{level}")
        features = [*features, resample(features[-1])]
    wiring = architecture.fpn_nodes or _WIRINGS[architecture.fpn](len(levels))
    features = BiFPN(sizes, wiring, filters, architecture.fpn_repeats, architecture.fusion, style, recompute)(features)
    outputs: RawOutputs | SegmentedOutputs
    outputs = RawOutputs(*(head(features) for head in _heads(config, num_classes, style)))
    if "segmentation" in config.model.heads:
        segment = SegmentationHead(len(levels), filters, config.model.segmentation_classes, architecture.activation)
        outputs = SegmentedOutputs(*outputs, segment(features))
    return keras.Model(images, outputs, name=re.sub(r"\W+", "-", config.model.name).strip("-"))


_WIRINGS = {"bifpn": bifpn_nodes, "qufpn": qufpn_nodes}


def _heads(config: Config, num_classes: int, style: Style) -> tuple[Head, Head]:
    """The class net and the box net."""
    architecture = config.model.architecture
    drop_connect = None
    if architecture.head_survival is not None:
        seed_generator = keras.random.SeedGenerator(config.training.seed, name="head_depth")
        drop_connect = DropConnect(architecture.head_survival, seed_generator)
    head = partial(
        Head,
        levels=architecture.levels,
        filters=architecture.fpn_filters,
        repeats=architecture.head_repeats,
        style=style,
        drop_connect=drop_connect,
        recompute=config.training.grad_checkpoint,
    )
    anchors = config.model.num_scales * len(config.model.aspect_ratios)
    return head("class", channels=anchors * num_classes, prior=PRIOR), head("box", channels=anchors * 4)


def normalise(images: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Images `[..., 3]` in 0..255, of any dtype, as the float32 input of the config's network."""
    architecture = config.model.architecture
    mean = ops.convert_to_tensor(architecture.mean, dtype="float32")
    stddev = ops.convert_to_tensor(architecture.stddev, dtype="float32")
    return (ops.cast(images, "float32") - mean) / stddev


def normalise_rows(images: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """The same of float32 images `[b, H, W, 3]` of the network's size, but for the last bit in a graph.

    It takes a third of the time: TensorFlow is slow to spread three values over an image, but not a row of them.
    """
    height, width = config.model.input_size
    architecture = config.model.architecture
    mean = ops.convert_to_tensor(tuple(architecture.mean) * width, dtype="float32")
    stddev = ops.convert_to_tensor(tuple(architecture.stddev) * width, dtype="float32")
    rows = (ops.reshape(images, (-1, height, 3 * width)) - mean) / stddev
    return ops.reshape(rows, (-1, height, width, 3))


def reference_name(variable: keras.Variable) -> str:
    """The name google/automl's checkpoints give to a variable of the detector.

    It is the Keras path, except that Keras 3 calls the kernel of a depthwise convolution plainly `kernel`.
    """
    return reference_path(variable.path)


def reference_path(path: str) -> str:
    """What google/automl calls a variable that has this path in ours; its own names stay."""
    return path.replace("depthwise_conv2d/kernel", "depthwise_conv2d/depthwise_kernel")
