"""Shards read as annotations, sound and damaged."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.check.inspection import check_splits
from efficientdet.check.shards import read_shards
from efficientdet.check.split import shard_splits
from efficientdet.config import Config
from efficientdet.data.annotation import ImageAnnotation, Read
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.ledger import Finding
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cat", "dog"])


def example(paint, number: int) -> tf.train.Example:
    """A picture with a cat and a dog."""
    encoded = io.BytesIO()
    paint(number).save(encoded, "PNG")
    boxes = np.array([[4, 10, 44, 50], [30, 60, 70, 100]], np.float32)
    flags = np.zeros(2, np.bool_)
    image = AnnotatedImage(
        str(number), f"{number}.png", encoded.getvalue(), "png", 96, 128, boxes, np.array([1, 2]), flags,
        np.ones(2, np.float32), flags,
    )  # fmt: skip
    return to_example(image, LABELS)


def write(path: Path, records: list[Any]) -> str:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())
    return str(path)


def test_what_was_written_is_read(tmp_path: Path, paint) -> None:
    shard = write(tmp_path / "a.gz", [example(paint, 1), example(paint, 2)])
    first, second, read = read_shards([shard], LABELS)
    assert isinstance(first, ImageAnnotation)
    assert read == Read(2, 4)
    assert (first.record, first.source_id, first.image) == ("record 0 (1.png)", "1", "1.png")
    assert (first.height, first.width, first.normalised, first.problem) == (96, 128, True, None)
    assert [box.category for box in first.boxes] == [1, 2]
    np.testing.assert_allclose(np.array(first.boxes[1].corners) * [96, 128, 96, 128], [30, 60, 70, 100], rtol=1e-6)
    assert second.encoded.startswith(b"\x89PNG")


def edit(example: tf.train.Example, key: str, value: Any) -> tf.train.Example:
    """The same with the first value of a feature changed."""
    feature = example.features.feature[f"image/{key}"]
    getattr(feature, feature.WhichOneof("kind")).value[0] = value
    return example


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda e: b"no example", "A101"),
        (lambda e: e.features.feature["image/encoded"].Clear() or e, "A101"),
        (lambda e: edit(e, "source_id", b"2"), "A102"),
        (lambda e: edit(e, "object/class/text", b"mouse"), "A108"),
        (lambda e: edit(e, "encoded", b"\xff\xd8\xff cut"), "I202"),
        (lambda e: edit(e, "height", 95), "I205"),
        (lambda e: e.features.feature["image/object/bbox/xmax"].Clear() or e, "B301"),
        (lambda e: edit(e, "object/bbox/xmax", 10 / 128), "B303"),
        (lambda e: edit(e, "object/bbox/xmin", 1.5), "B303"),
        (lambda e: edit(e, "object/bbox/ymin", -0.2), "B305"),
        (lambda e: edit(e, "object/class/label", 3), "C401"),
    ],
)
def test_damaged_records_are_told(tmp_path: Path, paint, change, code: str) -> None:
    shard = write(tmp_path / "a.gz", [example(paint, 2), change(example(paint, 1)), example(paint, 3)])
    report = check_splits(shard_splits({"a": [shard]}, LABELS), Config(), pictures=True)
    assert code in report.cases
    assert report.images == 3
    report.splits["a"].ledger.require_balance("a")
    assert report.cases[code].examples[0][1].record.startswith("record 1")


def test_a_shard_that_ends_too_soon_does_not_end_the_check(tmp_path: Path, paint) -> None:
    short = Path(write(tmp_path / "a.gz", [example(paint, i) for i in range(4)]))
    short.write_bytes(short.read_bytes()[:-30_000])
    whole = write(tmp_path / "b.gz", [example(paint, 9)])
    entries = list(read_shards([str(short), whole], LABELS))
    [damage] = [entry for entry in entries if isinstance(entry, Finding)]
    assert damage.reason == "damaged shard"
    assert damage.file == str(short)
    images = [entry.source_id for entry in entries if isinstance(entry, ImageAnnotation)]
    assert images[-1] == "9"
    assert 1 <= len(images) < 5


def test_records_of_another_writer(shared: Path, tmp_path: Path) -> None:
    """Raccoons of the TF Object Detection API, packed as our shards are."""
    records = list(tf.data.TFRecordDataset([str(shared / "data/raccoon_tfod/test.record")]).as_numpy_iterator())
    shard = write(tmp_path / "raccoons.gz", records)
    report = check_splits(shard_splits({"raccoons": [shard]}, LabelMap.from_names(["raccoon"])), Config())
    assert report.images == 40
    assert report.boxes_by_name()["raccoon"] >= 40
    assert report.count("error") == 0
