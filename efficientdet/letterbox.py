"""How an image of any size enters a network of fixed size, in training, evaluation and serving alike."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def letterbox(image: tf.Tensor, size: tuple[int, int], pad: Sequence[float]) -> tuple[tf.Tensor, tf.Tensor]:
    """Fits one image into the network input, keeping its aspect ratio.

    Args:
      image: `[h, w, 3]` uint8 or float32, 0..255.
      size: (height, width) of the network input.
      pad: the colour, 0..255 per channel, of what the image does not cover; the architecture's mean,
        so that padding is zero after normalisation.

    Returns:
      The image `[H, W, 3]` float32 0..255, resized bilinearly without antialiasing and placed top-left,
      and the float32 scalar that multiplies original coordinates into network coordinates.
    """
    original = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(tf.constant(size, tf.float32) / original)
    inner = tf.maximum(tf.cast(original * scale, tf.int32), 1)
    resized = tf.image.resize(tf.cast(image, tf.float32), inner)
    return paste(resized, size, pad), scale


def paste(image: tf.Tensor, size: tuple[int, int], pad: Sequence[float]) -> tf.Tensor:
    """`image` `[h, w, 3]` float32, not larger than `size`, top-left on a canvas `[H, W, 3]` of colour `pad`."""
    colour = tf.constant(pad, tf.float32)
    height, width = tf.unstack(tf.shape(image)[:2])
    # Joining copies the image, which joining with nothing need not.
    wide = tf.cond(
        width < size[1], lambda: tf.concat([image, ground(height, size[1] - width, colour)], axis=1), lambda: image
    )
    canvas = tf.cond(
        height < size[0], lambda: tf.concat([wide, ground(size[0] - height, size[1], colour)], axis=0), lambda: wide
    )
    return tf.ensure_shape(canvas, (*size, 3))


def ground(height: tf.Tensor, width: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    """`[height, width, 3]` of one `colour` `[3]`, of its dtype."""
    # Repeating whole rows is many times faster than repeating three values.
    row = tf.tile(colour, [width])
    return tf.reshape(tf.broadcast_to(row, [height, 3 * width]), [height, width, 3])
