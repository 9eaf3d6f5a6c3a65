"""From shards of examples to batches: what the training loop and the exporter read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from efficientdet.anchors import Anchors, Targets
from efficientdet.config import Config, DataConfig
from efficientdet.data import mosaic
from efficientdet.data.augment import augment
from efficientdet.data.example import parse_example
from efficientdet.data.mixup import random_mixup
from efficientdet.data.scene import Scene
from efficientdet.data.tfrecord_file import compression_of
from efficientdet.errors import DataError
from efficientdet.letterbox import letterbox

SHUFFLE_RECORDS = 1024
READERS = 8  # shards unpacked at a time; the order of examples depends on it, and therefore not on the machine

unconverted = tf.autograph.experimental.do_not_convert
"""Of functions without Python's own branches and loops over tensors: to look for them takes seconds."""


def read_records(pattern: str | Sequence[str]) -> tf.data.Dataset:
    """Serialised examples (string scalars) of every shard matching `pattern`, in the order of file names.

    The shards are TFRecords, all gzip or all plain.
    """
    shards = _shards(pattern)
    return tf.data.TFRecordDataset(shards.names, shards.compression)


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


class Share(NamedTuple):
    """The part of every batch that one of several workers reads, in as many pieces as it has replicas."""

    worker: int = 0
    workers: int = 1
    replicas: int = 1


WHOLE_BATCH = Share()


def training_batches(
    pattern: str | Sequence[str],
    config: Config,
    anchors: Anchors,
    start_step: int,
    share: Share = WHOLE_BATCH,
    total: int | None = None,
) -> tf.data.Dataset:
    """Endless batches (images `[b, H, W, 3]` float32 0..255, batched Targets) from step `start_step` on.

    The batch of a step depends on the data, the seed and the step alone: order comes from a seed per
    epoch and augmentation from one per position, so a resumed run reads what an uninterrupted one would.
    `share` divides that batch: b images go to each replica, the first to the first. `total` is the number of
    examples, for who has counted them already.
    """
    size = config.training.batch_size
    per_worker = size // share.workers

    @unconverted
    def ours(index: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return index % size // per_worker == share.worker

    @unconverted
    def example(index: tf.Tensor, records: tf.Tensor) -> Scene:
        return training_scene(records, config, index).padded(config.data.max_boxes)

    @unconverted
    def targets(scenes: Scene) -> tuple[tf.Tensor, Targets]:
        return scenes.image, anchors.assign_batch(scenes.boxes, scenes.classes, config.compat)

    records = training_records(pattern, config, start_step, total)
    if share.workers > 1:
        records = records.filter(ours)
    examples = records.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = examples.batch(per_worker // share.replicas, drop_remainder=True)
    return batches.map(targets, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2 * share.replicas)


def training_records(
    pattern: str | Sequence[str], config: Config, start_step: int, total: int | None = None
) -> tf.data.Dataset:
    """Endless (position, serialised example), in the order of training; the first is the first of `start_step`.

    With mosaic or mixup the example is a stack `[k]` of strings: itself first, then those it may be joined with.
    Raises DataError when there is none.
    """
    if not any(True for _ in read_records(pattern).take(1)):
        raise DataError(f"{pattern}: the training split holds no images; nothing can be learned from it")
    position = start_step * config.training.batch_size
    # Counting reads everything, which the first step need not wait for.
    epoch, place = divmod(position, total or count_records(pattern)) if position else (0, 0)
    shards, stack = _shards(pattern), _stack(config.data)
    records = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(
        lambda epoch: _shuffled(shards, tf.stack([config.training.seed, tf.cast(epoch, tf.int32)]), stack)
    )
    return records.skip(place).enumerate(position)


def shuffled_records(pattern: str | Sequence[str], config: Config) -> tf.data.Dataset:
    """Every serialised example once, in the order of the first epoch of training."""
    return _shuffled(_shards(pattern), tf.constant([config.training.seed, 0]), stack=1)


def step_ids(pattern: str | Sequence[str], config: Config, step: int) -> list[str]:
    """Ids of the images that step `step`, counted from 1, learns from, in the order of its batch."""
    records = training_records(pattern, config, step - 1).take(config.training.batch_size)
    first = records.map(lambda _, record: parse_example(tf.reshape(record, [-1])[0])["source_id"])
    return [source_id.decode() for source_id in first.as_numpy_iterator()]


def undecodable_ids(pattern: str | Sequence[str], config: Config, done: int, step: int) -> list[str]:
    """Ids of the images of the steps after `done`, up to `step`, that are no images TensorFlow can decode."""
    count = (step - done) * config.training.batch_size
    found: dict[str, None] = {}
    for _, records in training_records(pattern, config, done).take(count):
        for record in tf.reshape(records, [-1]):
            example = parse_example(record)
            try:
                decode_image(example["image_bytes"])
            except (tf.errors.InvalidArgumentError, ValueError):
                found[example["source_id"].numpy().decode()] = None
    return list(found)


def training_scene(records: tf.Tensor, config: Config, index: tf.Tensor) -> Scene:
    """One augmented image `[H, W, 3]` float32 0..255, with the boxes that are learnt from it.

    `records` is an element of `training_records`; `index`, its position, seeds the augmentation. Mosaic makes the
    image that all other changes are made to; mixup joins the finished image with another, changed by itself.
    """
    data, size, mean = config.data, config.model.input_size, config.model.architecture.mean
    records = tf.reshape(records, [-1])
    seed = tf.stack([config.training.seed, tf.cast(index % tf.int32.max, tf.int32)])
    # Numbers below those of the mosaic's images seed what is read of them.
    other_seed, mosaic_seed, mixup_seed = (tf.random.fold_in(seed, mosaic.IMAGES + i) for i in range(3))

    def stored(number: int) -> Scene:
        return stored_scene(records[number], data, tf.random.fold_in(seed, number) if number else seed)

    def other() -> Scene:
        return augment(*stored_scene(records[-1], data, other_seed), size, mean, data, other_seed)

    first = mosaic.random_mosaic(stored, data.mosaic, size, mean, mosaic_seed) if data.mosaic else stored(0)
    scene = augment(*first, size, mean, data, seed)
    if data.mixup:
        scene = random_mixup(scene, other, data.mixup, mixup_seed)
    return scene.at_most(data.max_boxes, other_seed) if _stack(data) > 1 else scene


def stored_scene(record: tf.Tensor, data: DataConfig, seed: tf.Tensor) -> Scene:
    """A stored image, `[h, w, 3]` uint8, with the boxes to learn, in an order that `seed` decides."""
    parsed = parse_example(record)
    keep = parsed["classes"] > 0
    if data.skip_crowd:
        keep &= ~parsed["is_crowd"]
    order = tf.random.experimental.stateless_shuffle(tf.where(keep)[:, 0], seed)[: data.max_boxes]
    boxes, classes = tf.gather(parsed["boxes"], order), tf.gather(parsed["classes"], order)
    return Scene(decode_image(parsed["image_bytes"]), boxes, classes)


def plain_images(pattern: str | Sequence[str], config: Config, limit: int) -> tf.data.Dataset:
    """Up to `limit` images `[H, W, 3]` uint8 as the network sees them when serving, spread evenly over the split."""
    stride = max(1, count_records(pattern) // limit)
    records = read_records(pattern).enumerate().filter(lambda i, _: i % stride == 0).take(limit)

    def image(_: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        return fitted_image(parse_example(record)["image_bytes"], config)

    return records.map(image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def fitted_image(encoded: tf.Tensor, config: Config) -> tf.Tensor:
    """An encoded image as the network sees it when serving: letterboxed, `[H, W, 3]` uint8."""
    boxed, _ = letterbox(decode_image(encoded), config.model.input_size, config.model.architecture.mean)
    return tf.cast(tf.round(boxed), tf.uint8)


class _Shards(NamedTuple):
    names: list[str]
    compression: str


def _shards(pattern: str | Sequence[str]) -> _Shards:
    patterns = [pattern] if isinstance(pattern, str) else pattern
    # A name with brackets in it matches itself.
    files = sorted({file for p in patterns for file in ([p] if tf.io.gfile.exists(p) else tf.io.gfile.glob(p))})
    if not files:
        raise DataError(f"{pattern}: no example shards match; run the example generation first")
    return _Shards(files, next((kind for kind in map(compression_of, files) if kind is not None), ""))


def _stack(data: DataConfig) -> int:
    """How many records an image is made of at most: those of a mosaic, and one to be mixed with."""
    return (mosaic.IMAGES if data.mosaic else 1) + (1 if data.mixup else 0)


def _shuffled(shards: _Shards, seed: tf.Tensor, stack: int) -> tf.data.Dataset:
    """All records once, shards and blocks of records in an order that `seed` `[2]` alone decides.

    With `stack` above 1 each comes with as many records as make that number, those that follow it in its block;
    a block with fewer repeats them.
    """
    shuffle = tf.random.experimental.stateless_shuffle
    names = shuffle(tf.constant(shards.names), seed)
    records = tf.data.TFRecordDataset(names, shards.compression, num_parallel_reads=READERS)
    # Dataset.shuffle takes no seed that changes from epoch to epoch inside a pipeline.
    blocks = records.batch(SHUFFLE_RECORDS).prefetch(1).enumerate()

    def one_block(number: tf.Tensor, block: tf.Tensor) -> tf.data.Dataset:
        block = shuffle(block, seed + [0, 1 + tf.cast(number, tf.int32)])
        if stack == 1:
            return tf.data.Dataset.from_tensor_slices(block)
        count = tf.size(block, tf.int64)
        return tf.data.Dataset.range(count).map(
            lambda i: tf.gather(block, (i + tf.range(stack, dtype=i.dtype)) % count)
        )

    return blocks.flat_map(one_block)
