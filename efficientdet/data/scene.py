"""An image and what is to be learnt from it, as augmentation hands it on."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from efficientdet.anchors import PADDING


class Scene(NamedTuple):
    """image: `[h, w, 3]` 0..255; boxes: `[n, 4]` float32 yxyx pixels of it; classes: `[n]` int32 ids from 1."""

    image: tf.Tensor
    boxes: tf.Tensor
    classes: tf.Tensor

    def padded(self, rows: int) -> Scene:
        """The same image with as many rows of boxes, not more than which there are; those added have class PADDING."""
        more = rows - tf.shape(self.boxes)[0]
        boxes = tf.ensure_shape(tf.pad(self.boxes, [[0, more], [0, 0]]), [rows, 4])
        classes = tf.pad(self.classes, [[0, more]], constant_values=PADDING)
        return Scene(self.image, boxes, tf.ensure_shape(classes, [rows]))

    def at_most(self, boxes: int, seed: tf.Tensor) -> Scene:
        """The same image with a random subset of its boxes where it has more; `seed` is int32 `[2]`."""
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(self.boxes)[0]), seed)[:boxes]
        return Scene(self.image, tf.gather(self.boxes, order), tf.gather(self.classes, order))
