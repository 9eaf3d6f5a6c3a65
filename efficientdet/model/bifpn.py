"""BiFPN: features of several scales mixed top-down and bottom-up (EfficientDet, arXiv 1911.09070, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import ops

from efficientdet.architectures import Node
from efficientdet.model.layers import (
    BatchNorm,
    Resample,
    Shape,
    Style,
    activation_function,
    batch_norm,
    build_chain,
    conv3x3,
    recomputed,
)

FUSION_EPSILON = 1e-4  # keeps fast normalised fusion defined when every weight is negative


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


def qufpn_nodes(num_levels: int) -> list[Node]:
    """The nodes of one cell of google/automl's quad-directional network.

    First BiFPN's, down and up again; then the same inputs up and down again; last, each level's two outputs fused.
    """
    down_up = bifpn_nodes(num_levels)
    last = {node.level: num_levels + i for i, node in enumerate(down_up)}
    known = [[i] for i in range(num_levels)]
    nodes = list(down_up)

    def fuse(level: int, inputs: list[int]) -> None:
        known[level].append(num_levels + len(nodes))
        nodes.append(Node(level, tuple(inputs)))

    for level in range(1, num_levels):
        fuse(level, [known[level][-1], known[level - 1][-1]])
    for level in reversed(range(num_levels - 1)):
        fuse(level, [*known[level], known[level + 1][-1]])
    for level in reversed(range(num_levels)):
        nodes.append(Node(level, (last[level], known[level][-1])))
    return nodes


class BiFPN(keras.layers.Layer):
    """`repeats` cells, one after the other: a list of feature maps per level to as many `[b, h, w, filters]`.

    Args:
      sizes: (height, width) of each level, from fine to coarse.
      nodes: the wiring of a cell; its last node of a level makes the level's output.
      filters: channels of every output.
      repeats: number of cells.
      fusion: how a node weighs its inputs, see `FusionNode`.
      style: of the convolutions.
      recompute: compute the nodes' activations again in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        sizes: list[tuple[int, int]],
        nodes: Sequence[Node],
        filters: int,
        repeats: int,
        fusion: str,
        style: Style,
        recompute: bool = False,
        name: str = "fpn_cells",
    ) -> None:
        super().__init__(name=name)
        self.sizes = sizes
        self.filters = filters
        cell = partial(BiFPNCell, sizes, nodes, filters, fusion, style, recompute)
        self.cells = [cell(name=f"cell_{i}") for i in range(repeats)]

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
    """One pass over the pyramid, fusion by fusion; arguments as those of `BiFPN`."""

    def __init__(
        self,
        sizes: list[tuple[int, int]],
        nodes: Sequence[Node],
        filters: int,
        fusion: str,
        style: Style,
        recompute: bool,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.sizes = sizes
        self.filters = filters
        self.recompute = recompute
        self.wiring = nodes
        self.nodes = [
            FusionNode(node, len(sizes) + i, sizes[node.level], filters, fusion, style, name=f"fnode{i}")
            for i, node in enumerate(nodes)
        ]

    def build(self, shapes: list[Shape]) -> None:
        known = list(shapes)
        for node, layer in zip(self.wiring, self.nodes, strict=True):
            inputs = [known[i] for i in node.inputs]
            layer.build(inputs)
            known.append(layer.compute_output_shape(inputs))

    def call(self, features: list[keras.KerasTensor], training: bool | None = None) -> list[keras.KerasTensor]:
        known, outputs = list(features), list(features)
        for node, layer in zip(self.wiring, self.nodes, strict=True):
            run: Callable[..., keras.KerasTensor] = partial(layer.fuse, training=training)
            if training and self.recompute:
                run = recomputed(run, layer.norms)
            outputs[node.level] = run(*[known[i] for i in node.inputs])
            known.append(outputs[node.level])
        return outputs

    def compute_output_shape(self, shapes: list[Shape]) -> list[Shape]:
        return [(shapes[0][0], *size, self.filters) for size in self.sizes]


class FusionNode(keras.layers.Layer):
    """Resamples the feature maps of a `Node` to one size and fuses them; a 3x3 convolution follows.

    A list of `[b, h, w, c]` of any sizes and channels to `[b, *size, filters]`. `index` is the number of the
    node's own output among the cell's feature maps. `fusion` is `sum`; `attn`, a mean weighted by the softmax
    of learnt weights; `fastattn`, fast normalised fusion with learnt weights; or, with weights per channel,
    `channel_attn` or `channel_fastattn`.
    """

    def __init__(
        self,
        node: Node,
        index: int,
        size: tuple[int, int],
        filters: int,
        fusion: str,
        style: Style,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self.size = size
        self.filters = filters
        self.fusion = fusion
        names = [f"resample_{i}_{source}_{index}" for i, source in enumerate(node.inputs)]
        self.resamples = [Resample(size, filters, style, name=name) for name in names]
        self.after = AfterFusion(filters, style, name=f"op_after_combine{index}")

    @property
    def norms(self) -> list[BatchNorm]:
        """Every batch normalisation inside."""
        return [*(resample.bn for resample in self.resamples if resample.bn is not None), self.after.bn]

    def build(self, shapes: list[Shape]) -> None:
        for resample, shape in zip(self.resamples, shapes, strict=True):
            resample.build(shape)
        if self.fusion != "sum":
            shape = (self.filters,) if self.fusion.startswith("channel") else ()
            names = [f"WSM_{i}" if i else "WSM" for i in range(len(shapes))]
            self.fusion_weights = [self.add_weight(name=name, shape=shape, initializer="ones") for name in names]
        self.after.build(self.compute_output_shape(shapes))

    def call(self, features: list[keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        return self.fuse(*features, training=training)

    def fuse(self, *features: keras.KerasTensor, training: bool | None) -> keras.KerasTensor:
        """What the layer computes, from feature maps one by one."""
        maps = [resample(f, training=training) for resample, f in zip(self.resamples, features, strict=True)]
        if self.fusion != "sum":
            maps = [f * weight for f, weight in zip(maps, self._shares(maps[0].dtype), strict=True)]
        return self.after(sum(maps[1:], start=maps[0]), training=training)

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        return (shapes[0][0], *self.size, self.filters)

    def _shares(self, dtype: str) -> list[keras.KerasTensor]:
        """What every input counts: scalars or `[filters]`."""
        weights = [ops.cast(w, dtype) for w in self.fusion_weights]
        if self.fusion.endswith("fastattn"):
            weights = [ops.relu(w) for w in weights]
            total = sum(weights) + FUSION_EPSILON
            return [w / total for w in weights]
        return ops.unstack(ops.softmax(ops.stack(weights), axis=0), len(weights))


class AfterFusion(keras.layers.Layer):
    """Activation, 3x3 convolution, batch norm, or as the style orders them; the shape `[b, h, w, filters]` stays."""

    def __init__(self, filters: int, style: Style, name: str) -> None:
        super().__init__(name=name)
        self.activation = activation_function(style.activation)
        self.activation_last = style.conv_bn_act
        self.conv = conv3x3(filters, style, "conv", use_bias=not style.conv_bn_act)
        self.bn = batch_norm("bn")

    def build(self, shape: Shape) -> None:
        build_chain([self.conv, self.bn], shape)

    def call(self, features: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        if not self.activation_last:
            features = self.activation(features)
        features = self.bn(self.conv(features), training=training)
        return self.activation(features) if self.activation_last else features
