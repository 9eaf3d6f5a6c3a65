"""What a split of examples holds, counted in one pass without decoding an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from efficientdet.data.image_ops import has_area
from efficientdet.data.input_pipeline import read_examples


@dataclass(frozen=True)
class Survey:
    """Counts over a split: images; those without a box to learn; boxes per class id; the most boxes of an image.

    unusable: boxes that are not finite, or have no area inside their image; nothing else counts them.
    """

    images: int = 0
    empty: int = 0
    boxes: Counter[int] = field(default_factory=Counter)
    most: int = 0
    unusable: int = 0


def survey(pattern: str | Sequence[str]) -> Survey:
    """Counts the examples of all shards that match `pattern`; crowd boxes are not counted.

    Raises DataError when no shard matches.
    """
    images = empty = most = unusable = 0
    boxes: Counter[int] = Counter()
    learnt = read_examples(pattern).map(_learnt_classes, num_parallel_calls=tf.data.AUTOTUNE)
    for classes, bad in learnt.as_numpy_iterator():
        images, most, unusable = images + 1, max(most, len(classes)), unusable + int(bad)
        empty += len(classes) == 0
        boxes.update(classes.tolist())
    return Survey(images, empty, boxes, most, unusable)


def _learnt_classes(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """The classes of the boxes to learn, and how many boxes cannot be."""
    size = tf.cast(tf.stack([example["height"], example["width"]] * 2), tf.float32)
    usable = tf.reduce_all(tf.math.is_finite(example["boxes"]), axis=1)
    usable &= has_area(tf.clip_by_value(example["boxes"], 0.0, size))
    wanted = ~example["is_crowd"]
    return tf.boolean_mask(example["classes"], wanted & usable), tf.math.count_nonzero(wanted & ~usable)
