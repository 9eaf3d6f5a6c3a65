"""What a split holds, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.input_pipeline import read_examples
from efficientdet.data.survey import Survey, survey
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


def test_counts_are_those_of_the_examples(digit_shards: Path):
    pattern = str(digit_shards / "Split-*/*")
    found = survey(pattern)
    classes = [example["classes"] for example in read_examples(pattern).as_numpy_iterator()]
    assert found.images == 16
    assert found.empty == sum(len(each) == 0 for each in classes)
    assert found.most == max(map(len, classes))
    assert found.boxes == Counter(np.concatenate(classes).tolist())


def test_crowds_are_not_counted(tmp_path: Path):
    labels = LabelMap.from_names(["cat", "dog", "bird"])
    with tf.io.TFRecordWriter(str(tmp_path / "shard.gz"), "GZIP") as writer:
        for number, (classes, crowd) in enumerate([([1, 2], [True, False]), ([3], [True]), ([], [])]):
            boxes = np.tile(np.float32([0, 0, 5, 5]), (len(classes), 1)).reshape(-1, 4)
            image = AnnotatedImage(
                *(str(number), "x.jpg", b"", "jpeg", 10, 10, boxes, np.int32(classes), np.array(crowd, bool)),
                area=np.full(len(classes), 25, np.float32),
                difficult=np.zeros(len(classes), bool),
            )
            writer.write(to_example(image, labels).SerializeToString())
    assert survey(str(tmp_path / "*")) == Survey(3, 2, Counter({2: 1}), 1)


def test_what_is_no_box_is_counted_apart(tmp_path: Path):
    """NaN, infinite, empty, inside out, and outside the image; beside them one over the border, which is a box."""
    boxes = [[0, 0, np.nan, 5], [0, 0, np.inf, 5], [2, 2, 2, 5], [5, 5, 2, 2], [20, 0, 30, 5], [-5, -5, 3, 3]]
    image = AnnotatedImage(
        *("0", "x.jpg", b"", "jpeg", 10, 10, np.float32(boxes), np.ones(6, np.int32), np.zeros(6, bool)),
        area=np.full(6, 25, np.float32),
        difficult=np.zeros(6, bool),
    )
    with tf.io.TFRecordWriter(str(tmp_path / "shard.gz"), "GZIP") as writer:
        writer.write(to_example(image, LabelMap.from_names(["cat"])).SerializeToString())
    assert survey(str(tmp_path / "*")) == Survey(1, 0, Counter({1: 1}), 1, unusable=5)


def test_no_shard_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no example shards match"):
        survey(str(tmp_path / "*"))
