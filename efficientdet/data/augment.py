"""Random changes of a training image with its boxes in step; every draw is a pure function of a seed.

Images are `[h, w, 3]` 0..255, boxes `[n, 4]` float32 yxyx pixels of the image beside them,
seeds int32 `[2]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from efficientdet.config import DataConfig
from efficientdet.data.autoaugment import autoaugment
from efficientdet.data.grid_mask import random_grid_mask
from efficientdet.data.image_ops import has_area
from efficientdet.data.scene import Scene
from efficientdet.letterbox import paste


def augment(
    image: tf.Tensor,
    boxes: tf.Tensor,
    classes: tf.Tensor,
    size: tuple[int, int],
    pad: Sequence[float],
    config: DataConfig,
    seed: tf.Tensor,
) -> Scene:
    """What the network sees of one image.

    Args:
      image: `[h, w, 3]` uint8.
      boxes, classes: `[n, 4]` and `[n]`.
      size: (height, width) of the network input.
      pad: the colour of what the image does not cover.

    Returns:
      The image `[H, W, 3]` float32, its boxes in network pixels and their classes. Boxes are cut at the border;
      those without area after that are left out, and no others, in their order.
    """
    flip_seed, scale_seed, light_seed, grid_seed, policy_seed = tf.unstack(tf.random.split(seed, 5))
    if config.grid_mask:
        image = random_grid_mask(image, grid_seed)
    if config.autoaugment:
        image, boxes = autoaugment(image, boxes, config.autoaugment, policy_seed)
    if config.flip:
        image, boxes = random_flip(image, boxes, flip_seed)
    jitter = (config.jitter_min, config.jitter_max)
    image, boxes = random_scale_crop(image, boxes, size, pad, jitter, scale_seed, config.jitter_size)
    if config.brightness:
        image = random_light(image, config.brightness, light_seed)
    present = has_area(boxes)
    return Scene(image, tf.boolean_mask(boxes, present), tf.boolean_mask(classes, present))


def random_flip(image: tf.Tensor, boxes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors image and boxes left-right with probability 0.5."""
    width = tf.cast(tf.shape(image)[1], tf.float32)
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    mirrored = tf.stack([ymin, width - xmax, ymax, width - xmin], axis=-1)
    flip = tf.random.stateless_uniform([], seed) < 0.5
    # Slices with a step copy element by element.
    return tf.cond(flip, lambda: (tf.reverse(image, [1]), mirrored), lambda: (image, boxes))


def random_light(image: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Scales contrast about the image's mean and shifts brightness, each by up to `strength`."""
    contrast, brightness = tf.unstack(tf.random.stateless_uniform([2], seed, -strength, strength))
    mean = tf.reduce_mean(image)
    return tf.clip_by_value((image - mean) * (1 + contrast) + mean + brightness * 255, 0, 255)


def random_scale_crop(
    image: tf.Tensor,
    boxes: tf.Tensor,
    size: tuple[int, int],
    pad: Sequence[float],
    jitter: tuple[float, float],
    seed: tf.Tensor,
    jitter_size: tuple[int, int] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`scale_crop` with a factor between the two of `jitter`, at a random place."""
    draws = tf.random.stateless_uniform([3], seed)
    factor = jitter[0] + draws[0] * (jitter[1] - jitter[0])
    return scale_crop(image, boxes, size, pad, factor, draws[1:], jitter_size or size)


def scale_crop(
    image: tf.Tensor,
    boxes: tf.Tensor,
    size: tuple[int, int],
    pad: Sequence[float],
    factor: tf.Tensor,
    offsets: tf.Tensor,
    jitter_size: tuple[int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fits the image into `jitter_size` times `factor`, cuts a window of at most `size`, pads the rest.

    `offsets` `[2]`, 0..1, says where the window lies in what is too large: 0 at the top or left, 1 at the
    bottom or right. Boxes are cut at the window's border; those outside become degenerate.
    """
    original = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(tf.floor(factor * tf.constant(jitter_size, tf.float32)) / original)
    scaled = tf.maximum(tf.cast(original * scale, tf.int32), 1)
    offset = tf.cast(tf.cast(tf.maximum(scaled - size, 0), tf.float32) * offsets, tf.int32)
    window = tf.minimum(scaled, size)
    # Twice as fast as from uint8, and the same.
    resized = tf.image.resize(tf.cast(image, tf.float32), scaled)
    image = resized[offset[0] : offset[0] + window[0], offset[1] : offset[1] + window[1]]
    # Whole pixels of the scaled image and not `scale`: that is how far the content really moved.
    moved = boxes * tf.tile(tf.cast(scaled, tf.float32) / original, [2]) - tf.tile(tf.cast(offset, tf.float32), [2])
    return paste(image, size, pad), tf.clip_by_value(moved, 0.0, tf.tile(tf.cast(window, tf.float32), [2]))
