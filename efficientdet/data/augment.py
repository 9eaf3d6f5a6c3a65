"""Random changes of a training image with its boxes in step; every draw is a pure function of a seed.

Images are `[h, w, 3]` float32 0..255, boxes `[n, 4]` float32 yxyx pixels of the image beside them,
seeds int32 `[2]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from efficientdet.config import DataConfig
from efficientdet.letterbox import paste


def augment(
    image: tf.Tensor,
    boxes: tf.Tensor,
    classes: tf.Tensor,
    size: tuple[int, int],
    pad: Sequence[float],
    config: DataConfig,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The training image `size` [H, W, 3], its boxes in network pixels and their classes, without lost boxes."""
    flip_seed, scale_seed, light_seed = tf.unstack(tf.random.split(seed, 3))
    if config.flip:
        image, boxes = random_flip(image, boxes, flip_seed)
    image, boxes = random_scale_crop(image, boxes, size, pad, (config.jitter_min, config.jitter_max), scale_seed)
    if config.brightness:
        image = random_light(image, config.brightness, light_seed)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return image, tf.boolean_mask(boxes, inside), tf.boolean_mask(classes, inside)


def random_flip(image: tf.Tensor, boxes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors image and boxes left-right with probability 0.5."""
    width = tf.cast(tf.shape(image)[1], tf.float32)
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    mirrored = tf.stack([ymin, width - xmax, ymax, width - xmin], axis=-1)
    flip = tf.random.stateless_uniform([], seed) < 0.5
    return tf.where(flip, image[:, ::-1], image), tf.where(flip, mirrored, boxes)


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
) -> tuple[tf.Tensor, tf.Tensor]:
    """Fits the image into `size` times a random factor, cuts a random window of `size`, pads the rest.

    Boxes are cut at the window's border; those outside become degenerate.
    """
    target = tf.constant(size, tf.float32)
    draws = tf.random.stateless_uniform([3], seed)
    factor = jitter[0] + draws[0] * (jitter[1] - jitter[0])
    original = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(target * factor / original)
    scaled = tf.maximum(tf.cast(original * scale, tf.int32), 1)
    offset = tf.cast(tf.maximum(tf.cast(scaled, tf.float32) - target, 0) * draws[1:], tf.int32)
    window = tf.minimum(scaled, size)
    image = tf.image.resize(image, scaled)[offset[0] : offset[0] + window[0], offset[1] : offset[1] + window[1]]
    shift = tf.tile(tf.cast(offset, tf.float32), [2])
    limit = tf.tile(tf.cast(window, tf.float32), [2])
    boxes = tf.clip_by_value(boxes * scale - shift, 0.0, limit)
    return paste(image, size, pad), boxes
