"""What a split of examples holds, counted in one pass without decoding an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from efficientdet.data.input_pipeline import read_examples


@dataclass(frozen=True)
class Survey:
    """Counts over a split: images; those without a box to learn; boxes per class id; the most boxes of an image."""

    images: int = 0
    empty: int = 0
    boxes: Counter[int] = field(default_factory=Counter)
    most: int = 0


def survey(pattern: str | Sequence[str]) -> Survey:
    """Counts the examples of all shards that match `pattern`; crowd boxes are not counted.

    Raises DataError when no shard matches.
    """
    images = empty = most = 0
    boxes: Counter[int] = Counter()
    learnt = read_examples(pattern).map(_learnt_classes, num_parallel_calls=tf.data.AUTOTUNE)
    for classes in learnt.as_numpy_iterator():
        images, most = images + 1, max(most, len(classes))
        empty += len(classes) == 0
        boxes.update(classes.tolist())
    return Survey(images, empty, boxes, most)


def _learnt_classes(example: dict[str, tf.Tensor]) -> tf.Tensor:
    return tf.boolean_mask(example["classes"], ~example["is_crowd"])
