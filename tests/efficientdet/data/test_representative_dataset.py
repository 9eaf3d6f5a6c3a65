"""The images that calibrate are chosen by content and classes alone, evenly, and named by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.config import Config
from efficientdet.data.example import AnnotatedImage, serialise
from efficientdet.data.representative_dataset import NO_OBJECT, RepresentativeDataset
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cell", "platelet", "virus"])


def record(number: int, classes: Sequence[int]) -> bytes:
    picture = np.full((8, 12, 3), number % 256, np.uint8)
    n = len(classes)
    no, boxes = np.zeros(n, bool), np.tile(np.array([0, 0, 4, 4], np.float32), (n, 1))
    encoded = tf.io.encode_png(picture).numpy()
    image = AnnotatedImage(
        *(str(number), "a.png", encoded, "png", 8, 12, boxes, np.array(classes, np.int32), no),
        area=np.full(n, 16.0, np.float32),
        difficult=no,
    )
    return serialise(image, LABELS)


def write(folder: Path, shards: Sequence[Sequence[bytes]]) -> str:
    folder.mkdir()
    for i, records in enumerate(shards):
        with tf.io.TFRecordWriter(str(folder / f"data-{i}.gz"), "GZIP") as writer:
            for one in records:
                writer.write(one)
    return f"{folder}/*.gz"


def config(count: int, seed: int = 0) -> Config:
    export = {"calibration_images": count, "calibration_seed": seed}
    return Config().override({"model": {"image_size": 64}, "export": export})


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    """60 images: cells in all but the last four, platelets in every tenth, a virus in two, nothing in four."""
    classes = [[1] * 5 + ([2] if i % 10 == 0 else []) + ([3] if i in (7, 8) else []) for i in range(56)]
    return [record(i, labels) for i, labels in enumerate([*classes, [], [], [], []])]


def test_rare_classes_are_all_there(records: list[bytes], tmp_path: Path):
    chosen = RepresentativeDataset(write(tmp_path / "a", [records]), config(16))
    assert len(chosen) == 16
    assert chosen.images_per_class[3] == 2
    assert chosen.images_per_class[2] >= 4
    assert chosen.images_per_class[NO_OBJECT] >= 3
    assert chosen.images_per_class[1] < 14, "evenly spread images would be 15"


def test_shards_order_and_copies_make_no_difference(records: list[bytes], tmp_path: Path):
    one = RepresentativeDataset(write(tmp_path / "a", [records]), config(10))
    other = RepresentativeDataset(write(tmp_path / "b", [records[40:], records[:5], records[::-1]]), config(10))
    assert (one.digests, one.facts) == (other.digests, other.facts)
    for picture, again in zip(one, other, strict=True):
        np.testing.assert_array_equal(picture, again)
    seeded = RepresentativeDataset(write(tmp_path / "c", [records]), config(10, seed=1))
    assert seeded.digests != one.digests
    assert seeded.sha256 != one.sha256


def test_the_hash_is_that_of_the_images(records: list[bytes], tmp_path: Path):
    chosen = RepresentativeDataset(write(tmp_path / "a", [records[:3]]), config(5))
    features = (tf.train.Example.FromString(one).features.feature for one in records[:3])
    bytes_of = (feature["image/encoded"].bytes_list.value[0] for feature in features)
    digests = sorted(hashlib.sha256(encoded).hexdigest() for encoded in bytes_of)
    assert list(chosen.digests) == digests
    assert chosen.facts["sha256"] == hashlib.sha256("".join(f"{d}\n" for d in digests).encode()).hexdigest()
    assert (chosen.facts["images"], chosen.facts["seed"]) == (3, 0)
    pictures = list(chosen)
    assert len(pictures) == len(list(chosen)) == 3, "it can be read again"
    assert {picture.shape for picture in pictures} == {(64, 64, 3)}
    assert {picture.dtype for picture in pictures} == {np.dtype(np.uint8)}


def test_no_image_is_an_empty_set(tmp_path: Path):
    chosen = RepresentativeDataset(write(tmp_path / "a", [[]]), config(5))
    assert (len(chosen), list(chosen), chosen.images_per_class) == (0, [], {})


@settings(max_examples=15, deadline=None)
@given(labels=st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=25), count=st.integers(1, 12))
def test_as_many_as_asked_for_and_no_class_is_forgotten(
    labels: list[list[int]], count: int, tmp_path_factory: pytest.TempPathFactory
):
    shard = [record(i, classes) for i, classes in enumerate(labels)]
    chosen = RepresentativeDataset(write(tmp_path_factory.mktemp("any") / "x", [shard]), config(count))
    there = {label for classes in labels for label in classes or [NO_OBJECT]}
    assert len(chosen) == min(count, len(labels))
    assert len(chosen.images_per_class) >= min(len(there), count) or count < len(there)
