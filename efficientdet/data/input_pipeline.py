"""From shards of examples to batches: what the training loop and the exporter read."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from efficientdet.anchors import Anchors
from efficientdet.config import Config
from efficientdet.data.augment import augment
from efficientdet.data.example import parse_example
from efficientdet.errors import DataError
from efficientdet.letterbox import letterbox

SHUFFLE_RECORDS = 1024


def read_records(pattern: str | Sequence[str]) -> tf.data.Dataset:
    """Serialised examples (string scalars) of every gzip shard matching `pattern`, in the order of file names."""
    return tf.data.TFRecordDataset(_shards(pattern), compression_type="GZIP")


def read_examples(pattern: str | Sequence[str]) -> tf.data.Dataset:
    """Parsed examples: the dicts of `data.example.parse_example`, in stored order."""
    return read_records(pattern).map(parse_example)


def count_records(pattern: str | Sequence[str]) -> int:
    """How many examples the shards hold."""
    return int(read_records(pattern).reduce(tf.constant(0, tf.int64), lambda n, _: n + 1))


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """`[h, w, 3]` uint8 from JPEG, PNG, GIF (first frame) or BMP bytes; grey is repeated over the channels."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def training_batches(
    pattern: str | Sequence[str], config: Config, anchors: Anchors, start_step: int
) -> tf.data.Dataset:
    """Endless batches (images `[b, H, W, 3]` float32 0..255, batched Targets) from step `start_step` on.

    The batch of a step depends on the data, the seed and the step alone: order comes from a seed per
    epoch and augmentation from one per position, so a resumed run reads what an uninterrupted one would.
    """
    total = count_records(pattern)
    if not total:
        raise DataError(f"{pattern}: the training split holds no images; nothing can be learned from it")
    position = start_step * config.training.batch_size
    epochs = tf.data.Dataset.range(position // total, tf.int64.max)
    shards = tf.constant(_shards(pattern))
    records = epochs.flat_map(
        lambda epoch: _shuffled(shards, tf.stack([config.training.seed, tf.cast(epoch, tf.int32)]))
    )
    examples = records.skip(position % total).enumerate(position)

    def example(index: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tuple]:
        return training_example(parse_example(record), config, anchors, index)

    batches = examples.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(config.training.batch_size, drop_remainder=True).prefetch(2)


def training_example(parsed: dict, config: Config, anchors: Anchors, index: tf.Tensor) -> tuple[tf.Tensor, tuple]:
    """One augmented image `[H, W, 3]` and its Targets; `index` seeds the augmentation."""
    seed = tf.stack([config.training.seed, tf.cast(index % tf.int32.max, tf.int32)])
    keep = parsed["classes"] > 0
    if config.data.skip_crowd:
        keep &= ~parsed["is_crowd"]
    order = tf.random.experimental.stateless_shuffle(tf.where(keep)[:, 0], seed)[: config.data.max_boxes]
    boxes, classes = tf.gather(parsed["boxes"], order), tf.gather(parsed["classes"], order)
    image = decode_image(parsed["image_bytes"])
    mean = config.model.architecture.mean
    image, boxes, classes = augment(image, boxes, classes, config.model.input_size, mean, config.data, seed)
    return image, anchors.assign(boxes, classes, config.compat)


def plain_images(pattern: str | Sequence[str], config: Config, limit: int) -> tf.data.Dataset:
    """Up to `limit` images `[H, W, 3]` uint8 as the network sees them when serving, spread evenly over the split."""
    stride = max(1, count_records(pattern) // limit)
    records = read_records(pattern).enumerate().filter(lambda i, _: i % stride == 0).take(limit)

    def image(_: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        decoded = decode_image(parse_example(record)["image_bytes"])
        boxed, _ = letterbox(decoded, config.model.input_size, config.model.architecture.mean)
        return tf.cast(tf.round(boxed), tf.uint8)

    return records.map(image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _shards(pattern: str | Sequence[str]) -> list[str]:
    patterns = [pattern] if isinstance(pattern, str) else pattern
    files = sorted({file for p in patterns for file in tf.io.gfile.glob(p)})
    if not files:
        raise DataError(f"{pattern}: no example shards match; run the example generation first")
    return files


def _shuffled(shards: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
    """All records once, shards and blocks of records in an order that `seed` `[2]` alone decides."""
    shuffle = tf.random.experimental.stateless_shuffle
    records = tf.data.TFRecordDataset(shuffle(shards, seed), compression_type="GZIP")
    # Dataset.shuffle takes no seed that changes from epoch to epoch inside a pipeline.
    blocks = records.batch(SHUFFLE_RECORDS).enumerate()

    def one_block(number: tf.Tensor, block: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(shuffle(block, seed + [0, 1 + tf.cast(number, tf.int32)]))

    return blocks.flat_map(one_block)
