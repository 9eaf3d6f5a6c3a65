"""Batches are a function of data, seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.data.example import parse_example
from efficientdet.data.input_pipeline import (
    count_records,
    decode_image,
    plain_images,
    read_examples,
    training_batches,
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


def test_a_resumed_run_reads_what_an_unbroken_one_would(pattern: str):
    unbroken = batches(pattern, 0, 7)
    assert unbroken[0].shape == (5, 64, 64, 3)
    for start in (1, 3, 6):
        np.testing.assert_array_equal(batches(pattern, start, 1)[0], unbroken[start])


@pytest.mark.parametrize("policy", ["v2", "randaug"])
def test_so_it_does_with_every_augmentation(pattern: str, policy: str):
    config = CONFIG.override(f"data.autoaugment={policy},data.grid_mask=true,data.brightness=0.2,data.jitter_size=96")
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
