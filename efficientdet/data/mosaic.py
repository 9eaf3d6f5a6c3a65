"""Mosaic (YOLOv4, arXiv 2004.10934): one training image out of four, so that objects are smaller and in company.

Images are `[h, w, 3]` uint8, boxes `[n, 4]` float32 yxyx pixels of the image beside them, seeds int32 `[2]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from efficientdet.data.image_ops import has_area
from efficientdet.data.scene import Scene
from efficientdet.letterbox import ground

IMAGES = 4
# Where the four meet, as a share of the canvas's sides: no image is ever out of sight.
NEAREST, FARTHEST = 0.25, 0.75


def random_mosaic(
    scene: Callable[[int], Scene], probability: float, size: tuple[int, int], pad: Sequence[float], seed: tf.Tensor
) -> Scene:
    """The mosaic of scenes 0 to 3, meeting at a random point, with `probability`; else scene 0, and only it is read."""
    when, where = tf.unstack(tf.random.split(seed, 2))
    happens = tf.random.stateless_uniform([], when) < probability
    shares = tf.random.stateless_uniform([2], where, NEAREST, FARTHEST)
    return tf.cond(happens, lambda: mosaic([scene(i) for i in range(IMAGES)], size, pad, shares), lambda: scene(0))


def mosaic(scenes: Sequence[Scene], size: tuple[int, int], pad: Sequence[float], shares: tf.Tensor) -> Scene:
    """Four scenes on a canvas of twice the network input, the first at its top left, then by rows.

    Each image is fitted into the network input and laid with a corner at the point where the four meet, so that
    none covers another; what reaches over the border is cut. A box without area after that is left out, no other.

    Args:
      scenes: four.
      size: (height, width) of the network input.
      pad: the colour, 0..255, of what no image covers, in whole numbers.
      shares: `[2]` float32 yx, where they meet, as a share of the canvas.
    """
    canvas = tf.constant([2 * size[0], 2 * size[1]])
    centre = tf.cast(shares * tf.cast(canvas, tf.float32), tf.int32)
    sides = [(down, right) for down in (False, True) for right in (False, True)]
    laid = [_lay(scene, side, centre, canvas, size, pad) for scene, side in zip(scenes, sides, strict=True)]
    top, bottom = (tf.concat([laid[i].image, laid[i + 1].image], axis=1) for i in (0, 2))
    boxes, classes = (tf.concat(parts, axis=0) for parts in zip(*(scene[1:] for scene in laid), strict=True))
    present = has_area(boxes)
    image = tf.concat([top, bottom], axis=0)
    return Scene(image, tf.boolean_mask(boxes, present), tf.boolean_mask(classes, present))


def _lay(
    scene: Scene,
    side: tuple[bool, bool],
    centre: tf.Tensor,
    canvas: tf.Tensor,
    size: tuple[int, int],
    pad: Sequence[float],
) -> Scene:
    """A quarter of the canvas, boxes in pixels of the whole; `side`: is it below the centre, and is it right of it."""
    original = tf.cast(tf.shape(scene.image)[:2], tf.float32)
    scale = tf.reduce_min(tf.constant(size, tf.float32) / original)
    scaled = tf.maximum(tf.cast(original * scale, tf.int32), 1)
    image = tf.cast(tf.round(tf.image.resize(tf.cast(scene.image, tf.float32), scaled)), tf.uint8)
    start, end = tf.where(side, centre, 0), tf.where(side, canvas, centre)
    corner = tf.where(side, centre, centre - scaled)
    first, last = tf.maximum(start - corner, 0), tf.minimum(scaled, end - corner)
    visible = image[first[0] : last[0], first[1] : last[1]]
    moved = scene.boxes * tf.tile(tf.cast(scaled, tf.float32) / original, [2]) + _twice(corner)
    boxes = tf.clip_by_value(moved, _twice(start), _twice(end))
    return Scene(_enlarge(visible, end - start, side, pad), boxes, scene.classes)


def _enlarge(image: tf.Tensor, size: tf.Tensor, side: tuple[bool, bool], pad: Sequence[float]) -> tf.Tensor:
    """The image with plain ground up to `size` `[2]` int32: after it where `side` is true, else before it."""
    colour = tf.cast(tf.round(tf.constant(pad, tf.float32)), tf.uint8)
    height, width = tf.unstack(tf.shape(image)[:2])
    beside = ground(height, size[1] - width, colour)
    beyond = ground(size[0] - height, size[1], colour)
    rows = tf.concat([image, beside] if side[1] else [beside, image], axis=1)
    return tf.concat([rows, beyond] if side[0] else [beyond, rows], axis=0)


def _twice(point: tf.Tensor) -> tf.Tensor:
    """`[2]` int32 as `[4]` float32."""
    return tf.tile(tf.cast(point, tf.float32), [2])
