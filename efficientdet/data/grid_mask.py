"""GridMask (arXiv 2001.04086): hides a regular grid of squares, so that no single part of an object is enough.

Images are `[h, w, 3]` of any dtype, seeds int32 `[2]`.
"""

from __future__ import annotations

import math

import tensorflow as tf

PROBABILITY = 0.5
# How much of each period a stripe keeps; rows and columns outside of every stripe are hidden where they cross.
RATIO = 0.6
MAX_ROTATION = math.radians(10)


def random_grid_mask(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The image with a grid of black squares, of a period near half of its size, with probability 0.5."""
    draws = tf.random.stateless_uniform([5], seed)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    sides = tf.stack([0.5 * height, 0.3 * width])
    period = tf.floor(tf.reduce_min(sides) + draws[0] * (tf.reduce_max(sides) - tf.reduce_min(sides)))
    period = tf.maximum(period, 2.0)
    angle = (2 * draws[1] - 1) * MAX_ROTATION
    seen = visible(tf.shape(image)[:2], period, tf.floor(draws[2:4] * period), angle)
    return tf.where((draws[4] < PROBABILITY) & ~seen, tf.zeros_like(image), image)


def visible(size: tf.Tensor, period: tf.Tensor, start: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """`[h, w, 1]` bool: false in the squares of a grid.

    size: int32 `[2]` (h, w); period: float32, from square to square in whole pixels, at least 2; start: float32
    `[2]` yx, where a stripe begins, from the image's corner; angle: float32, radians about the image's centre.
    """
    centre = (tf.cast(size, tf.float32) - 1) / 2
    y = tf.range(size[0], dtype=tf.float32)[:, None, None] - centre[0]
    x = tf.range(size[1], dtype=tf.float32)[None, :, None] - centre[1]
    turned_y = tf.cos(angle) * y + tf.sin(angle) * x + centre[0]
    turned_x = tf.cos(angle) * x - tf.sin(angle) * y + centre[1]
    stripe = tf.clip_by_value(tf.floor(period * RATIO + 0.5), 1.0, period - 1)
    in_row = tf.math.floormod(turned_y - start[0], period) < stripe
    in_column = tf.math.floormod(turned_x - start[1], period) < stripe
    return in_row | in_column
