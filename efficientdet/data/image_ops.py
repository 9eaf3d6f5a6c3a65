"""Changes of one image, and of the boxes in it, by given amounts; nothing here is random.

Images are `[h, w, 3]` uint8, boxes `[n, 4]` float32 yxyx pixels of the image beside them. Amounts and
roundings are the ones under which AutoAugment's policies for detection (arXiv 1906.11172) were found.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

GREY = 128


def blend(start: tf.Tensor, end: tf.Tensor, factor: float) -> tf.Tensor:
    """The image at `factor` on the line from `start` (0) to `end` (1), and beyond it above 1."""
    start, end = tf.cast(start, tf.float32), tf.cast(end, tf.float32)
    return _uint8(start + factor * (end - start))


def brightness(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Away from black: 0 gives black, 1 the image, more a brighter one."""
    return blend(tf.zeros_like(image), image, factor)


def color(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Away from grey: 0 gives a grey image, 1 the image, more a gaudier one."""
    return blend(tf.image.rgb_to_grayscale(image), image, factor)


def contrast(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Away from the mean brightness: 0 gives that all over, 1 the image, more a harder one."""
    grey = tf.cast(tf.image.rgb_to_grayscale(image), tf.float32)
    return blend(tf.floor(tf.reduce_mean(grey)), image, factor)


def sharpness(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Away from a smoothed image: 0 gives that, 1 the image, more a sharper one. The outermost pixels stay."""
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32)
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, 3, 1])
    pixels = tf.cast(image, tf.float32)[None]
    # Divided behind the sum, which is exact: otherwise the processor decides how a whole mean is rounded.
    smooth = _uint8(tf.nn.depthwise_conv2d(pixels, kernel, [1, 1, 1, 1], "SAME")[0] / 13)
    last = tf.shape(image)[:2] - 1
    inside = _rectangle(image, tf.ones_like(last), last)
    return tf.where(inside, blend(smooth, image, factor), image)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to 0..255; a channel of one value stays."""
    pixels = tf.cast(image, tf.float32)
    low, high = tf.reduce_min(pixels, [0, 1]), tf.reduce_max(pixels, [0, 1])
    scale = tf.math.divide_no_nan(255.0, high - low)
    return tf.where(high > low, _uint8(pixels * scale - low * scale), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads the values of each channel evenly over 0..255; a channel with too few pixels for that stays."""
    bins = tf.cast(image, tf.int32) + 256 * tf.range(3)
    counts = tf.reshape(tf.math.bincount(tf.reshape(bins, [-1]), minlength=768, maxlength=768), [3, 256])
    brightest = tf.cast(tf.reduce_max(image, [0, 1]), tf.int32)
    of_brightest = tf.gather(counts, brightest[:, None], batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1, keepdims=True) - of_brightest) // 255
    darker = tf.cumsum(counts, axis=1, exclusive=True)
    # The lowest value maps to 0 whatever the rounding adds.
    rounding = tf.where(tf.range(256) > 0, step // 2, 0)
    table = tf.minimum((darker + rounding) // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, table, tf.range(256))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), bins), tf.uint8)


def posterize(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Keeps the `bits` highest bits of each value, at least one."""
    mask = 0xFF << (8 - max(bits, 1)) & 0xFF
    return tf.bitwise.bitwise_and(image, tf.constant(mask, tf.uint8))


def solarize(image: tf.Tensor, threshold: int) -> tf.Tensor:
    """Inverts values of `threshold` and above."""
    return tf.where(tf.cast(image, tf.int32) < threshold, image, 255 - image)


def solarize_add(image: tf.Tensor, addition: int) -> tf.Tensor:
    """Adds to values below 128."""
    return tf.where(image < 128, _uint8(tf.cast(image, tf.float32) + addition), image)


def erase(image: tf.Tensor, centre: tf.Tensor, reach: tf.Tensor) -> tf.Tensor:
    """Greys the rectangle of `2 * reach` pixels about `centre`, both int32 `[2]` yx, as far as it is in the image."""
    return tf.where(_rectangle(image, centre - reach, centre + reach), tf.constant(GREY, tf.uint8), image)


class Motion(NamedTuple):
    """Where points go: to `matrix @ (point - pivot) + pivot + shift`, points being yx pixels.

    matrix: `[2, 2]` float32 of determinant 1; shift: `[2]` float32; centred: the pivot is the centre of the
    image rather than its corner.
    """

    matrix: tf.Tensor
    shift: tf.Tensor = (0.0, 0.0)
    centred: bool = False


def rotation(degrees: tf.Tensor) -> Motion:
    """Anticlockwise about the centre, as seen on the screen."""
    angle = degrees * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    return Motion(tf.stack([[cos, -sin], [sin, cos]]), centred=True)


def shear_x(slope: tf.Tensor) -> Motion:
    """To the left, by `slope` pixels a row."""
    return Motion(tf.stack([[1.0, 0.0], [-slope, 1.0]]))


def shear_y(slope: tf.Tensor) -> Motion:
    """Upwards, by `slope` pixels a column."""
    return Motion(tf.stack([[1.0, -slope], [0.0, 1.0]]))


def shift_x(pixels: tf.Tensor) -> Motion:
    """To the left."""
    return Motion(tf.eye(2), tf.stack([0.0, -pixels]))


def shift_y(pixels: tf.Tensor) -> Motion:
    """Upwards."""
    return Motion(tf.eye(2), tf.stack([-pixels, 0.0]))


def move_image(image: tf.Tensor, motion: Motion) -> tf.Tensor:
    """The image after `motion`, of the same size, by nearest neighbour; grey where nothing moved to."""
    (a, b), (c, d) = (tf.unstack(row) for row in tf.unstack(motion.matrix))
    # The inverse of a matrix of determinant 1; no motion here changes an area.
    back = tf.stack([[d, -b], [-c, a]])
    size = tf.shape(image)[:2]
    # Pixels are points here, so the centre lies between the first and the last.
    pivot = (tf.cast(size, tf.float32) - 1) / 2 * float(motion.centred)
    offset = pivot - tf.linalg.matvec(back, pivot + motion.shift)
    # The operation wants x before y.
    rows = tf.reverse(tf.concat([tf.reverse(back, [1]), offset[:, None]], axis=1), [0])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.concat([tf.reshape(rows, [1, 6]), tf.zeros([1, 2])], axis=1),
        output_shape=size,
        fill_value=float(GREY),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(moved[0], image.shape)


def move_boxes(boxes: tf.Tensor, size: tf.Tensor, motion: Motion) -> tf.Tensor:
    """The upright boxes around what `boxes` become, cut at the border of an image of `size` `[2]` int32.

    Corners are cut to whole pixels before and after. A box that leaves the image becomes degenerate, and
    a degenerate one is never brought back.
    """
    size = tf.cast(size, tf.float32)
    pivot = size / 2 * float(motion.centred)
    corners = tf.reshape(tf.gather(boxes, [0, 1, 0, 3, 2, 1, 2, 3], axis=1), [-1, 4, 2])
    turned = tf.einsum("ij,bcj->bci", motion.matrix, _whole(corners - pivot))
    moved = _whole(turned + motion.shift) + pivot
    upright = tf.concat([tf.reduce_min(moved, axis=1), tf.reduce_max(moved, axis=1)], axis=1)
    cut = tf.clip_by_value(upright, 0.0, tf.tile(size, [2]))
    return tf.where(has_area(boxes)[:, None], cut, 0.0)


def has_area(boxes: tf.Tensor) -> tf.Tensor:
    """`[n]` bool: false for degenerate boxes."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _rectangle(image: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """`[h, w, 1]` bool: true from `start` up to, not including, `end`, both int32 `[2]` yx."""
    rows, columns = tf.range(tf.shape(image)[0])[:, None, None], tf.range(tf.shape(image)[1])[None, :, None]
    return (rows >= start[0]) & (rows < end[0]) & (columns >= start[1]) & (columns < end[1])


def _uint8(values: tf.Tensor) -> tf.Tensor:
    """float32 values cut to 0..255 and to whole numbers."""
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8)


def _whole(values: tf.Tensor) -> tf.Tensor:
    """float32 values without their fractions."""
    return tf.cast(tf.cast(values, tf.int32), tf.float32)
