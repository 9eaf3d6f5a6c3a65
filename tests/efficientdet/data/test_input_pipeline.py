"""Batches are a function of data, seed and step."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.data.example import parse_example
from efficientdet.data.input_pipeline import (
    Share,
    count_records,
    decode_image,
    plain_images,
    read_examples,
    shuffled_records,
    training_batches,
    training_records,
    training_scene,
)
from efficientdet.errors import DataError
from efficientdet.letterbox import letterbox

CONFIG = Config().override("model.image_size=64,training.batch_size=5,data.jitter_min=0.5")


@pytest.fixture
def pattern(digit_shards: Path) -> str:
    return str(digit_shards / "Split-train/*")


def batches(pattern: str, start: int, count: int, config: Config = CONFIG) -> list[np.ndarray]:
    data = training_batches(pattern, config, anchors_for(config), start)
    return [images for images, _ in data.take(count).as_numpy_iterator()]


def positives(pattern: str, config: Config) -> float:
    """Anchors that answer for a box, over three batches."""
    data = training_batches(pattern, config, anchors_for(config), 0)
    return sum(targets.num_positives.sum() for _, targets in data.take(3).as_numpy_iterator())


def test_every_shard_is_read(pattern: str):
    assert count_records(pattern) == 12
    ids = {example["source_id"] for example in read_examples(pattern).as_numpy_iterator()}
    assert len(ids) == 12


def test_plain_shards_give_what_gzip_ones_give(pattern: str, tmp_path: Path):
    for shard in Path(pattern).parent.iterdir():
        (tmp_path / shard.name).write_bytes(gzip.decompress(shard.read_bytes()))
    plain = str(tmp_path / "*")
    assert count_records(plain) == 12
    assert [r.numpy() for r in shuffled_records(plain, CONFIG)] == [
        r.numpy() for r in shuffled_records(pattern, CONFIG)
    ]
    np.testing.assert_array_equal(batches(plain, 2, 1)[0], batches(pattern, 2, 1)[0])
    (tmp_path / "0").write_bytes(b"no records at all")
    with pytest.raises(DataError, match="0: holds no TFRecords, neither plain nor gzip"):
        count_records(plain)


def test_foreign_records_are_learnt_from_as_they_are(shared: Path):
    foreign = str(shared / "data/raccoon_tfod/*.record")
    assert count_records(foreign) == 40
    ids = [example["source_id"] for example in read_examples(foreign).as_numpy_iterator()]
    assert ids[0] == b"raccoon-129.jpg"
    assert len(set(ids)) == 40
    assert batches(foreign, 0, 1)[0].shape == (5, 64, 64, 3)
    assert positives(foreign, CONFIG) > 0


def test_a_resumed_run_reads_what_an_unbroken_one_would(pattern: str):
    unbroken = batches(pattern, 0, 7)
    assert unbroken[0].shape == (5, 64, 64, 3)
    for start in (1, 3, 6):
        np.testing.assert_array_equal(batches(pattern, start, 1)[0], unbroken[start])


@pytest.mark.parametrize(
    "augmentation", ["data.autoaugment=v2", "data.autoaugment=randaug,data.mosaic=0.5,data.mixup=0.5"]
)
def test_so_it_does_with_every_augmentation(pattern: str, augmentation: str):
    config = CONFIG.override(f"{augmentation},data.grid_mask=true,data.brightness=0.2,data.jitter_size=96")
    unbroken = batches(pattern, 0, 4, config)
    np.testing.assert_array_equal(batches(pattern, 3, 1, config)[0], unbroken[3])
    assert not np.array_equal(unbroken[3], batches(pattern, 3, 1)[0])


def test_an_epoch_holds_every_image_once(pattern: str):
    config = CONFIG.override("training.batch_size=12,data.flip=false,data.jitter_min=1,data.jitter_max=1")
    epochs = []
    for images, targets in training_batches(pattern, config, anchors_for(config), 0).take(3).as_numpy_iterator():
        epochs.append([hash(image.tobytes()) for image in images])
        assert targets.num_positives.shape == (12,)
    assert [len(set(epoch)) for epoch in epochs] == [12, 12, 12]
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1]


JOINED = CONFIG.override("data.mosaic=1,data.mixup=1,data.flip=false,data.jitter_min=1,data.jitter_max=1")


@pytest.mark.parametrize(("settings", "stack"), [("data.mosaic=0.1", 4), ("data.mixup=1", 2), ("data.mosaic=1", 4)])
def test_each_image_comes_with_partners_of_its_epoch(pattern: str, settings: str, stack: int):
    alone = list(training_records(pattern, CONFIG, 0).take(24).as_numpy_iterator())
    joined = list(training_records(pattern, CONFIG.override(settings), 0).take(24).as_numpy_iterator())
    for (position, record), (same_position, records) in zip(alone, joined, strict=True):
        assert same_position == position
        assert records.shape == (stack,)
        assert records[0] == record
        assert len(set(records)) == stack
    for number in range(stack):
        assert len({records[number] for _, records in joined[:12]}) == 12


def test_few_images_are_their_own_partners(pattern: str, tmp_path: Path):
    few = tmp_path / "few.gz"
    with tf.io.TFRecordWriter(str(few), "GZIP") as writer:
        for record in tf.data.TFRecordDataset(pattern.replace("*", "data-0-of-2.gz"), "GZIP").take(2):
            writer.write(record.numpy())
    stacks = [records for _, records in training_records(str(few), JOINED, 0).take(2).as_numpy_iterator()]
    assert [len(set(records)) for records in stacks] == [2, 2]
    assert batches(str(few), 0, 1, JOINED)[0].shape == (5, 64, 64, 3)


def test_joined_images_have_the_boxes_of_all(pattern: str):
    for index, records in training_records(pattern, JOINED, 0).take(6):
        everything = sum(len(parse_example(record)["boxes"]) for record in records)
        scene = training_scene(records, JOINED, index)
        assert scene.image.shape == (64, 64, 3)
        own = len(parse_example(records[0])["boxes"]) + len(parse_example(records[4])["boxes"])
        # An image of a mosaic may lose boxes over the border, one of a mixup loses none.
        assert len(parse_example(records[4])["boxes"]) < len(scene.boxes) <= everything
        assert own <= everything
        few = JOINED.override("data.max_boxes=3")
        assert len(training_scene(records, few, index).boxes) == 3


def test_off_they_change_nothing(pattern: str):
    [(index, record)] = training_records(pattern, CONFIG, 0).take(1)
    [(_, records)] = training_records(pattern, JOINED, 0).take(1)
    barely = CONFIG.override("data.mosaic=1e-9,data.mixup=1e-9,data.max_boxes=1000")
    alone, joined = training_scene(record, CONFIG, index), training_scene(records, barely, index)
    np.testing.assert_array_equal(joined.image, alone.image)
    assert sorted(joined.boxes.numpy().tolist()) == sorted(alone.boxes.numpy().tolist())


def test_workers_read_the_parts_of_one_batch(pattern: str):
    config = JOINED.override("training.batch_size=4")
    [whole] = batches(pattern, 2, 1, config)
    for worker in (0, 1):
        data = training_batches(pattern, config, anchors_for(config), 2, Share(worker, workers=2))
        [(images, _)] = data.take(1).as_numpy_iterator()
        np.testing.assert_array_equal(images, whole[2 * worker : 2 * worker + 2])


def test_more_boxes_than_slots_are_cut_not_fatal(pattern: str):
    config = CONFIG.override("data.max_boxes=1,data.jitter_min=1,data.jitter_max=1")
    few = positives(pattern, config)
    many = positives(pattern, CONFIG.override("data.jitter_min=1,data.jitter_max=1"))
    assert 0 < few < many


def test_calibration_images_are_what_serving_sees(pattern: str):
    images = list(plain_images(pattern, CONFIG, 5).as_numpy_iterator())
    assert len(images) == 5
    assert images[0].shape == (64, 64, 3)
    assert images[0].dtype == np.uint8
    np.testing.assert_array_equal(images, list(plain_images(pattern, CONFIG, 5).as_numpy_iterator()))


@pytest.mark.parametrize(("source", "model"), [("coco", "d0"), ("coco", "lite0"), ("voc", "d0")])
def test_network_input_equals_the_reference(shared: Path, source: str, model: str):
    """golden/dataloader_eval.npz, `*/images`: what google/automl's loader makes of the same records."""
    golden = np.load(shared / "golden" / "dataloader_eval.npz")
    ids, images = golden[f"{source}_{model}/source_ids"], golden[f"{source}_{model}/images"]
    architecture = ARCHITECTURES[f"efficientdet-{model}"]
    files = sorted(map(str, (shared / "golden" / "fixtures" / source / "tfr").glob("*-of-*")))
    examples = {int(e["source_id"].numpy()): e for e in map(parse_example, tf.data.TFRecordDataset(files))}
    assert len(examples) == 4
    for source_id, expected in zip(ids, images, strict=True):
        image = decode_image(examples[int(source_id)]["image_bytes"])
        boxed, _ = letterbox(image, (64, 64), architecture.mean)
        np.testing.assert_allclose((boxed - architecture.mean) / architecture.stddev, expected, atol=2e-5)


def test_missing_shards_are_named(tmp_path: Path):
    with pytest.raises(DataError, match="no example shards match"):
        count_records(str(tmp_path / "*"))
