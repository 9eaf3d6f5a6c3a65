"""BiFPN: features of several scales mixed top-down and bottom-up (EfficientDet, arXiv 1911.09070, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import ops

from efficientdet.model.layers import Resample, Shape, batch_norm, build_chain

FUSION_EPSILON = 1e-4  # keeps fast normalised fusion defined when every weight is negative


class Node(NamedTuple):
    """One fusion: the index of the level it belongs to (0 is the finest) and the feature maps it fuses.

    Feature maps are numbered: the cell's inputs from fine to coarse, then the nodes in order.
    """

    level: int
    inputs: tuple[int, ...]


def bifpn_nodes(num_levels: int) -> list[Node]:
    """The nodes of one cell: down from the last level but one, then up again, where a node also sees its input."""
    known = [[i] for i in range(num_levels)]
    nodes: list[Node] = []

    def fuse(level: int, inputs: list[int]) -> None:
        known[level].append(num_levels + len(nodes))
        nodes.append(Node(level, tuple(inputs)))

    for level in reversed(range(num_levels - 1)):
        fuse(level, [known[level][-1], known[level + 1][-1]])
    for level in range(1, num_levels):
        fuse(level, [*known[level], known[level - 1][-1]])
    return nodes


class BiFPN(keras.layers.Layer):
    """`repeats` cells, one after the other: a list of feature maps per level to as many `[b, h, w, filters]`.

    Args:
      sizes: (height, width) of each level, from fine to coarse.
      filters: channels of every output.
      repeats: number of cells.
      fusion: `sum`, or `fastattn` for fast normalised fusion with learnt weights.
      activation: name of the Keras activation.
    """

    def __init__(
        self, sizes: list[tuple[int, int]], filters: int, repeats: int, fusion: str, activation: str, name: str
    ) -> None:
        super().__init__(name=name)
        self.sizes = sizes
        self.filters = filters
        self.cells = [BiFPNCell(sizes, filters, fusion, activation, name=f"cell_{i}") for i in range(repeats)]

    def build(self, shapes: list[Shape]) -> None:
        for cell in self.cells:
            cell.build(shapes)
            shapes = cell.compute_output_shape(shapes)

    def call(self, features: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        for cell in self.cells:
            features = cell(features)
        return features

    def compute_output_shape(self, shapes: list[Shape]) -> list[Shape]:
        return [(shapes[0][0], *size, self.filters) for size in self.sizes]


class BiFPNCell(keras.layers.Layer):
    """One pass down and up the pyramid."""

    def __init__(self, sizes: list[tuple[int, int]], filters: int, fusion: str, activation: str, name: str) -> None:
        super().__init__(name=name)
        self.sizes = sizes
        self.filters = filters
        self.wiring = bifpn_nodes(len(sizes))
        self.nodes = [
            FusionNode(node, len(sizes) + i, sizes[node.level], filters, fusion, activation, name=f"fnode{i}")
            for i, node in enumerate(self.wiring)
        ]

    def build(self, shapes: list[Shape]) -> None:
        known = list(shapes)
        for node, layer in zip(self.wiring, self.nodes, strict=True):
            inputs = [known[i] for i in node.inputs]
            layer.build(inputs)
            known.append(layer.compute_output_shape(inputs))

    def call(self, features: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
        known, outputs = list(features), list(features)
        for node, layer in zip(self.wiring, self.nodes, strict=True):
            outputs[node.level] = layer([known[i] for i in node.inputs])
            known.append(outputs[node.level])
        return outputs

    def compute_output_shape(self, shapes: list[Shape]) -> list[Shape]:
        return [(shapes[0][0], *size, self.filters) for size in self.sizes]


class FusionNode(keras.layers.Layer):
    """Resamples the feature maps of a `Node` to one size, fuses them; activation, separable convolution, batch norm.

    A list of `[b, h, w, c]` of any sizes and channels to `[b, *size, filters]`. `index` is the number of the
    node's own output among the cell's feature maps.
    """

    def __init__(
        self,
        node: Node,
        index: int,
        size: tuple[int, int],
        filters: int,
        fusion: str,
        activation: str,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.size = size
        self.filters = filters
        self.fusion = fusion
        self.resamples = [
            Resample(size, filters, name=f"resample_{i}_{source}_{index}") for i, source in enumerate(node.inputs)
        ]
        self.after = AfterFusion(filters, activation, name=f"op_after_combine{index}")

    def build(self, shapes: list[Shape]) -> None:
        for resample, shape in zip(self.resamples, shapes, strict=True):
            resample.build(shape)
        if self.fusion == "fastattn":
            names = [f"WSM_{i}" if i else "WSM" for i in range(len(shapes))]
            self.fusion_weights = [self.add_weight(name=name, shape=(), initializer="ones") for name in names]
        self.after.build(self.compute_output_shape(shapes))

    def call(self, features: list[keras.KerasTensor]) -> keras.KerasTensor:
        features = [resample(f) for resample, f in zip(self.resamples, features, strict=True)]
        if self.fusion == "fastattn":
            weights = [ops.relu(ops.cast(w, features[0].dtype)) for w in self.fusion_weights]
            total = sum(weights) + FUSION_EPSILON
            features = [f * (w / total) for f, w in zip(features, weights, strict=True)]
        return self.after(sum(features[1:], start=features[0]))

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        return (shapes[0][0], *self.size, self.filters)


class AfterFusion(keras.layers.Layer):
    """Activation, separable 3x3 convolution with bias, batch normalisation; the shape `[b, h, w, filters]` stays."""

    def __init__(self, filters: int, activation: str, name: str) -> None:
        super().__init__(name=name)
        self.activation = keras.activations.get(activation)
        self.conv = keras.layers.SeparableConv2D(filters, 3, padding="same", name="conv")
        self.bn = batch_norm("bn")

    def build(self, shape: Shape) -> None:
        build_chain([self.conv, self.bn], shape)

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        return self.bn(self.conv(self.activation(features)))
