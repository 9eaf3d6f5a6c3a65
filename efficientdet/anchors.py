"""Anchor boxes: where they lie, which groundtruth each one answers for, and the box code between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from efficientdet.anchor_search import AnchorSearch, Pairs
from efficientdet.architectures import feature_sizes
from efficientdet.config import Config

POSITIVE_IOU = 0.5  # an anchor overlapping a groundtruth box at least this much is positive (RetinaNet, 1708.02002)
IGNORED = -2  # class target of an anchor without class loss; only `compat` makes them, of boxes labelled -1
PADDING = -(2**31)  # class of a row that stands for no box
MIN_SIDE = 1e-8  # pixels; a box without area is encoded as if this wide

AspectRatio = float | tuple[float, float]


class Targets(NamedTuple):
    """What the network should answer, level by level from fine to coarse (leading batch axes optional).

    classes: per level `[h, w, a]` int32, class id - 1, or -1 for background.
    boxes: per level `[h, w, a * 4]` float32 box deltas, zero for background.
    num_positives: `[]` float32, anchors that answer for a groundtruth box.
    """

    classes: tuple[tf.Tensor, ...]
    boxes: tuple[tf.Tensor, ...]
    num_positives: tf.Tensor


class Anchors:
    """The anchor grid of one network input size.

    Args:
      image_size: (height, width) of the network input in pixels; any size works.
      min_level, max_level: pyramid levels; level i has ceil-halved the input i times.
      num_scales: octaves per level, 2**(i / num_scales).
      aspect_ratios: width / height of anchors of one area, or (x, y) factors of width and height.
      anchor_scale: side of the square base anchor over its level's stride, one number or one per level.

    Attributes:
      boxes: `[A, 4]` float32 yxyx pixels of the network input: levels from fine to coarse, then rows,
        columns, octaves, aspect ratios. The stride is image size / feature size, so it may be fractional.
      feature_sizes: (height, width) of each level.
      per_cell: anchors per cell.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        min_level: int,
        max_level: int,
        num_scales: int,
        aspect_ratios: Sequence[AspectRatio],
        anchor_scale: float | Sequence[float],
    ) -> None:
        self.image_size = image_size
        self.feature_sizes = feature_sizes(image_size, min_level, max_level)
        shapes = np.stack([2 ** (i / num_scales) * _sides(r) for i in range(num_scales) for r in aspect_ratios])
        self.per_cell = len(shapes)
        if isinstance(anchor_scale, (int, float)):
            anchor_scale = [anchor_scale] * len(self.feature_sizes)
        levels = [
            _level_boxes(image_size, size, scale * shapes)
            for size, scale in zip(self.feature_sizes, anchor_scale, strict=True)
        ]
        self.boxes: NDArray[np.float32] = np.concatenate([level.reshape(-1, 4) for level in levels])
        self._search = AnchorSearch(levels)

    def assign(self, boxes: tf.Tensor, classes: tf.Tensor, compat: bool = False) -> Targets:
        """Targets of one image.

        Args:
          boxes: `[n, 4]` float32 yxyx pixels of the network input.
          classes: `[n]` int32 class ids from 1; a row of class 0 or less is padding and ignored.
          compat: google/automl's rule: a box that overlaps no anchor gets the very first one, and there is no
            padding: a row of class 0 or -1 has positive anchors too, of class background or `IGNORED`.

        Returns:
          Targets without batch axis. An anchor answers for the box it overlaps most, from IoU 0.5 on;
          besides, each box keeps its best anchor unless it overlaps none (of two boxes with the same
          best anchor the first row keeps it).
        """
        batch = self.assign_batch(boxes[None], classes[None], compat)
        return tf.nest.map_structure(lambda values: values[0], batch)

    def assign_batch(self, boxes: tf.Tensor, classes: tf.Tensor, compat: bool = False) -> Targets:
        """`assign` for several images at once, which takes much less time: boxes `[b, n, 4]`, classes `[b, n]`.

        Rows of class `PADDING` are padding with `compat` too. Targets have the batch axis.
        """
        images, total = classes.shape[0], len(self.boxes)
        there = tf.where(classes > (PADDING if compat else 0))
        boxes, classes = tf.gather_nd(boxes, there), tf.gather_nd(classes, there)
        # Anchors are numbered through, those of the first image before those of the second.
        first = total * tf.cast(there[:, 0], tf.int32)
        pairs = self._search.pairs(boxes, POSITIVE_IOU)
        pairs = pairs._replace(anchor=pairs.anchor + tf.gather(first, pairs.box))
        anchor, row = _match(pairs, tf.size(classes), images * total, first if compat else None)
        deltas = encode(tf.gather(boxes, row), tf.gather(self.boxes, anchor % total))
        class_targets = tf.fill([images * total], -1)
        class_targets = tf.tensor_scatter_nd_update(class_targets, anchor[:, None], tf.gather(classes, row) - 1)
        return Targets(
            classes=self._split(tf.reshape(class_targets, [images, total]), self.per_cell),
            boxes=self._split(
                tf.reshape(tf.scatter_nd(anchor[:, None], deltas, [images * total, 4]), [images, total * 4]),
                self.per_cell * 4,
            ),
            num_positives=tf.math.unsorted_segment_sum(tf.ones_like(anchor, tf.float32), anchor // total, images),
        )

    def _split(self, per_anchor: tf.Tensor, channels: int) -> tuple[tf.Tensor, ...]:
        """`[b, A * channels / per_cell]` over all levels as one `[b, h, w, channels]` per level."""
        parts = tf.split(per_anchor, [h * w * channels for h, w in self.feature_sizes], axis=1)
        sizes = zip(parts, self.feature_sizes, strict=True)
        return tuple(tf.reshape(part, [per_anchor.shape[0], h, w, channels]) for part, (h, w) in sizes)


def anchors_for(config: Config) -> Anchors:
    """The anchors a config describes."""
    model, architecture = config.model, config.model.architecture
    return Anchors(
        image_size=model.input_size,
        min_level=architecture.min_level,
        max_level=architecture.max_level,
        num_scales=model.num_scales,
        aspect_ratios=model.aspect_ratios,
        anchor_scale=architecture.anchor_scale,
    )


def join_levels(levels: Sequence[keras.KerasTensor], values: int) -> keras.KerasTensor:
    """`[b, h, w, a * values]` per level as `[b, A, values]` float32, in the order of `Anchors.boxes`."""
    flat = [ops.reshape(level, (-1, math.prod(level.shape[1:]) // values, values)) for level in levels]
    return ops.cast(ops.concatenate(flat, axis=1), "float32")


def encode(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Box deltas `[..., 4]` (dy/ha, dx/wa, log h/ha, log w/wa) of boxes relative to anchors, both `[..., 4]` yxyx.

    This is the code of Faster R-CNN (arXiv 1506.01497) without scale factors.
    """
    sizes = tf.maximum(boxes[..., 2:] - boxes[..., :2], MIN_SIDE)
    anchor_sizes = anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., 2:] + boxes[..., :2] - anchors[..., 2:] - anchors[..., :2]) / 2
    return tf.concat([shift / anchor_sizes, tf.math.log(sizes / anchor_sizes)], axis=-1)


def decode(deltas: keras.KerasTensor, anchors: keras.KerasTensor) -> keras.KerasTensor:
    """The inverse of `encode`: boxes `[..., 4]` yxyx in the anchors' units, from deltas and anchors `[..., 4]`."""
    anchor_sizes = anchors[..., 2:] - anchors[..., :2]
    centres = deltas[..., :2] * anchor_sizes + (anchors[..., 2:] + anchors[..., :2]) / 2
    halves = ops.exp(deltas[..., 2:]) * anchor_sizes / 2
    return ops.concatenate([centres - halves, centres + halves], axis=-1)


def centre_size(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[n, 4]` yxyx as `[n, 4]` centre y, centre x, height, width."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1).astype(np.float32)


def _sides(aspect_ratio: AspectRatio) -> NDArray[np.float64]:
    """(height, width): of a box of area 1, or as the pair (x, y) says."""
    if isinstance(aspect_ratio, (int, float)):
        return np.array([aspect_ratio**-0.5, aspect_ratio**0.5])
    x, y = aspect_ratio
    return np.array([y, x])


def _level_boxes(
    image_size: tuple[int, int], feature_size: tuple[int, int], sides: NDArray[np.float64]
) -> NDArray[np.float32]:
    """`[h, w, a, 4]` float32 yxyx anchors of one level; sides `[a, 2]` are in strides."""
    stride = np.divide(image_size, feature_size)
    cells = np.stack(np.meshgrid(*map(np.arange, feature_size), indexing="ij"), axis=-1)
    centres = ((cells + 0.5) * stride)[:, :, None]
    halves = sides * stride / 2
    return np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32)


def _match(pairs: Pairs, boxes: tf.Tensor, anchors: int, else_claimed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """The positive anchors, ascending, and the box that each answers for, both int32 `[p]`; given how many of each.

    An anchor answers for the box it overlaps most, from `POSITIVE_IOU` on, unless boxes claim it: each box claims the
    anchor that it overlaps most; one without any claims that of `else_claimed` `[boxes]`, or without it none. Of equals
    the first is taken.
    """
    nobody = tf.fill([anchors], boxes)
    most = tf.tensor_scatter_nd_max(tf.zeros([anchors]), pairs.anchor[:, None], pairs.iou)
    near = (pairs.iou >= POSITIVE_IOU) & (pairs.iou == tf.gather(most, pairs.anchor))
    nearest = tf.tensor_scatter_nd_min(nobody, pairs.anchor[near][:, None], pairs.box[near])
    highest = tf.math.unsorted_segment_max(pairs.iou, pairs.box, boxes)
    favourite = tf.where(pairs.iou == tf.gather(highest, pairs.box), pairs.anchor, anchors)
    favourite = tf.math.unsorted_segment_min(favourite, pairs.box, boxes)
    overlaps, claims = highest > 0, tf.range(boxes)
    if else_claimed is not None:
        favourite = tf.where(overlaps, favourite, else_claimed)
    else:
        favourite, claims = favourite[overlaps], claims[overlaps]
    claimed = tf.tensor_scatter_nd_min(nobody, favourite[:, None], claims)
    owner = tf.where(claimed < boxes, claimed, nearest)
    positive = tf.cast(tf.where(owner < boxes)[:, 0], tf.int32)
    return positive, tf.gather(owner, positive)
