"""What is drawn and listed is what training and evaluation read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.input_pipeline import read_examples, training_batches, training_records, training_scene
from efficientdet.errors import DataError
from efficientdet.inspect import inspect
from efficientdet.label_map import LabelMap

CONFIG = Config().override("model.image_size=128,training.batch_size=4,data.mosaic=0.5,data.mixup=0.5,training.seed=3")


@pytest.fixture
def pattern(digit_shards: Path) -> str:
    return str(digit_shards / "Split-train/*")


@pytest.fixture
def label_map(digit_shards: Path) -> LabelMap:
    return LabelMap.load(digit_shards)


def listed(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "samples.json").read_text())


def test_with_augmentation_it_is_what_training_reads(pattern: str, label_map: LabelMap, tmp_path: Path):
    assert inspect(pattern, CONFIG, label_map, tmp_path / "out", 4, augmented=True) == 4
    entries = listed(tmp_path / "out")
    [(images, (classes, _, positives))] = training_batches(pattern, CONFIG, anchors_for(CONFIG), 0).take(1)
    for i, (entry, (index, records)) in enumerate(
        zip(entries, training_records(pattern, CONFIG, 0).take(4), strict=True)
    ):
        scene = training_scene(records, CONFIG, index)
        np.testing.assert_allclose(entry["boxes"], scene.boxes, rtol=1e-6)
        assert entry["class_ids"] == scene.classes.numpy().tolist()
        assert entry["anchors"] == {str(level): int(np.sum(classes[level - 3][i] >= 0)) for level in range(3, 8)}
        assert sum(entry["anchors"].values()) == positives[i]
        picture = np.asarray(Image.open(tmp_path / "out" / entry["file"]))
        assert picture.shape == (128, 128, 3)
        # Most pixels are under no drawn line.
        assert np.mean(np.abs(picture - np.rint(images[i]).astype(int)).max(-1) == 0) > 0.4


def test_without_augmentation_every_example_comes_once_as_it_is(pattern: str, label_map: LabelMap, tmp_path: Path):
    assert inspect(pattern, CONFIG, label_map, tmp_path, 100, augmented=False) == 12
    entries = {entry["image_id"]: entry for entry in listed(tmp_path)}
    examples = {example["source_id"].numpy().decode(): example for example in read_examples(pattern)}
    assert entries.keys() == examples.keys()
    for image_id, entry in entries.items():
        np.testing.assert_allclose(entry["boxes"], examples[image_id]["boxes"] * (128 / 96), rtol=1e-6)
        assert entry["classes"] == [label_map[c].name for c in examples[image_id]["classes"].numpy()]
        assert "anchors" not in entry


def test_the_seed_chooses(pattern: str, label_map: LabelMap, tmp_path: Path):
    chosen = []
    for run, seed in enumerate((0, 0, 1)):
        config = CONFIG.override(f"training.seed={seed}")
        inspect(pattern, config, label_map, tmp_path / str(run), 3, augmented=False)
        chosen.append((tmp_path / str(run) / "samples.json").read_bytes())
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(("name", "colour"), [("efficientdet-d0", 200), ("efficientdet-lite0", 90)])
def test_colours_are_those_of_the_file_for_every_normalisation(tmp_path: Path, name: str, colour: int):
    """Grey stays grey, whichever mean and deviation the network's input has; crowds and odd classes are named."""
    labels = LabelMap.from_names(["cat"])
    picture = tf.io.encode_png(tf.fill((64, 128, 3), tf.constant(colour, tf.uint8))).numpy()
    image = AnnotatedImage(
        source_id="a/b",
        file_name="b.png",
        encoded=picture,
        image_format="png",
        height=64,
        width=128,
        boxes=np.array([[8, 16, 40, 60], [4, 70, 60, 120]], np.float32),
        classes=np.array([1, 1], np.int32),
        is_crowd=np.array([False, True]),
        area=np.array([1408, 2800], np.float32),
        difficult=np.array([False, False]),
    )
    example = to_example(image, labels)
    example.features.feature["image/object/class/label"].int64_list.value[0] = 7
    with tf.io.TFRecordWriter(str(tmp_path / "one.gz"), "GZIP") as writer:
        writer.write(example.SerializeToString())
    config = Config().override({"model": {"name": name, "image_size": 128}})
    inspect(str(tmp_path / "one.gz"), config, labels, tmp_path / "out", 1, augmented=False)
    [entry] = listed(tmp_path / "out")
    assert entry["classes"] == ["class 7 (not in the label map)", "cat (crowd)"]
    assert entry["crowd"] == [False, True]
    drawn = np.asarray(Image.open(tmp_path / "out" / entry["file"]))
    assert drawn[50, 20].tolist() == [colour] * 3
    assert drawn[100, 20].tolist() == np.rint(config.model.architecture.mean).tolist()
    # With augmentation the crowd box is not learnt.
    inspect(str(tmp_path / "one.gz"), config, labels, tmp_path / "out", 3, augmented=True)
    assert {class_id for entry in listed(tmp_path / "out") for class_id in entry["class_ids"]} <= {7}


def test_shards_without_examples_are_named(label_map: LabelMap, tmp_path: Path):
    with tf.io.TFRecordWriter(str(tmp_path / "empty.gz"), "GZIP"):
        pass
    for augmented in (False, True):
        with pytest.raises(DataError, match=r"empty\.gz.* hold"):
            inspect(str(tmp_path / "empty.gz"), CONFIG, label_map, tmp_path / "out", 3, augmented)
    assert not list((tmp_path / "out").iterdir())
