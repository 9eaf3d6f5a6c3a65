"""Foreign records, genuine ones and damaged ones: every object becomes a box or is accounted for."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import ImageAnnotation, Read
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.example import AnnotatedImage, serialise
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.data.tfod import read_tfod, tfod_files
from efficientdet.data.tfod_classes import TfodClasses
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

CATS = TfodClasses(LabelMap.from_names(["cat", "dog"]), {1: "cat", 2: "dog"}, {"cat": "cat", "/m/dog": "dog"})
Records = Callable[..., Path]


@pytest.fixture(scope="module")
def photo() -> bytes:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20] = 200
    return bytes(tf.io.encode_jpeg(image).numpy())


@pytest.fixture
def one(photo: bytes) -> dict[str, Any]:
    """A record with two objects, with every list there is."""
    return {
        "image/encoded": [photo],
        "image/filename": [b"a.jpg"],
        "image/source_id": [b"7"],
        "image/height": [40],
        "image/width": [60],
        "image/object/bbox/ymin": [0.1, 0.5],
        "image/object/bbox/xmin": [0.2, 0.5],
        "image/object/bbox/ymax": [0.3, 1.0],
        "image/object/bbox/xmax": [0.4, 1.0],
        "image/object/class/text": [b"cat", b"/m/dog"],
        "image/object/class/label": [1, 2],
        "image/object/is_crowd": [0, 1],
        "image/object/difficult": [1, 0],
        "image/object/area": [9.0, 8.0],
        "image/caption": [b"a cat and a dog"],
        "image/group": [b"film 3"],
    }


@pytest.fixture
def records(tmp_path: Path) -> Records:
    def write(*contents: dict[str, Any] | bytes) -> Path:
        path = tmp_path / "a.record"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for content in contents:
                writer.write(content if isinstance(content, bytes) else example(content))
        return path

    return write


def example(content: dict[str, Any]) -> bytes:
    def feature(values: list[Any]) -> tf.train.Feature:
        if values and isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if values and isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {key: feature(values) for key, values in content.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def read(path: Path, classes: TfodClasses = CATS, **more: bool) -> tuple[list[ImageAnnotation], list[Finding]]:
    """The entries, after checking that they add up to what was read."""
    *entries, last = read_tfod([path], classes, **more)
    images = [entry for entry in entries if isinstance(entry, ImageAnnotation)]
    findings = [entry for entry in entries if isinstance(entry, Finding)]
    lost = sum(finding.outcome == "dropped" for finding in findings)
    assert last == Read(len(images) + lost, sum(len(image.boxes) for image in images))
    assert all(finding.of == "image" for finding in findings)
    return images, findings


def admitted(path: Path, classes: TfodClasses = CATS) -> tuple[list[AnnotatedImage], Ledger]:
    ids = {label.name: label.id for label in classes.label_map}
    pairs = list(admit_all(read_tfod([path], classes), path.parent, "", ids))
    ledger = sum((account for _, account in pairs), Ledger())
    ledger.require_balance("train")
    return [image for image, _ in pairs if image], ledger


@pytest.mark.parametrize("packed", [False, True])
def test_genuine_records_are_read_as_they_are(shared: Path, tmp_path: Path, packed: bool) -> None:
    [path] = tfod_files(shared / "data/raccoon_tfod", "*.record")
    if packed:
        (tmp_path / "a").write_bytes(gzip.compress(path.read_bytes(), 1))
        path = tmp_path / "a"
    classes = TfodClasses.found_in([path])
    assert [(label.name, label.category_id) for label in classes.label_map] == [("raccoon", 1)]
    images, ledger = admitted(path, classes)
    assert (len(images), ledger.images.read, ledger.images.kept) == (40, 40, 40)
    assert ledger.boxes.read == ledger.boxes.kept + ledger.boxes.clipped.total()
    first = images[0]
    assert (first.source_id, first.file_name, first.width, first.height) == (*["raccoon-129.jpg"] * 2, 639, 315)
    np.testing.assert_allclose(first.boxes, [[24, 142, 276, 442]], atol=1e-3)


def test_everything_in_a_record_is_carried(records: Records, one: dict[str, Any], photo: bytes) -> None:
    [image], findings = read(records(one))
    assert findings == []
    assert (image.source_id, image.image, image.height, image.width) == ("7", "a.jpg", 40, 60)
    assert (image.encoded, image.captions, image.group) == (photo, ["a cat and a dog"], "film 3")
    cat, dog = image.boxes
    np.testing.assert_allclose(cat.corners, (0.1, 0.2, 0.3, 0.4), rtol=1e-6)
    assert (cat.category, cat.is_crowd, cat.difficult, cat.area) == ("cat", False, True, 9.0)
    assert (dog.category, dog.is_crowd, dog.difficult, dog.area) == ("dog", True, False, 8.0)


@pytest.mark.parametrize("key", ["image/object/iscrowd", "image/object/group_of"])
def test_groups_are_crowds_by_any_name(records: Records, one: dict[str, Any], key: str) -> None:
    one[key] = one.pop("image/object/is_crowd")
    assert [box.is_crowd for box in read(records(one))[0][0].boxes] == [False, True]


@pytest.mark.parametrize(
    ("texts", "labels", "categories"),
    [
        ([b"cat", b""], [2, 2], ["cat", "dog"]),
        (None, [2, 1], ["dog", "cat"]),
        ([b"dog", b"cat\xff"], None, ["dog", "cat\\xff"]),
        (None, [0, 3], [0, 3]),
        (None, None, ["", ""]),
    ],
)
def test_the_class_is_told_by_text_then_by_number(
    records: Records, one: dict[str, Any], texts: Any, labels: Any, categories: list[object]
) -> None:
    for key, values in (("text", texts), ("label", labels)):
        one.pop(f"image/object/class/{key}")
        one |= {f"image/object/class/{key}": values} if values else {}
    assert [box.category for box in read(records(one))[0][0].boxes] == categories


def test_a_record_needs_nothing_but_an_image(records: Records, photo: bytes) -> None:
    [image], findings = read(records({"image/encoded": [photo]}))
    assert (len(image.source_id), image.image, image.height, image.boxes, findings) == (
        64,
        image.source_id,
        None,
        [],
        [],
    )
    images, _ = admitted(records({"image/encoded": [photo]}))
    assert (images[0].height, images[0].width) == (40, 60)


def test_the_file_name_stands_in_for_an_id(records: Records, one: dict[str, Any]) -> None:
    del one["image/source_id"]
    assert read(records(one))[0][0].source_id == "a.jpg"
    one["image/filename"] = [b"\xff.jpg"]
    [image], _ = read(records(one))
    assert (image.source_id, image.image) == ("\\udcff.jpg", "\udcff.jpg")


def test_images_with_one_id_are_told_apart(records: Records, one: dict[str, Any]) -> None:
    other = one | {"image/encoded": [bytes(tf.io.encode_png(np.zeros((40, 60, 3), np.uint8)).numpy())]}
    (first, second, again), [finding] = read(records(one, other, other))
    assert (first.source_id, first.problem) == ("7", None)
    assert second.source_id.startswith("7-")
    assert (finding.reason, finding.outcome, finding.record) == ("changed image id", "noted", "record 2 (a.jpg)")
    assert again.problem == ("duplicate image id", "an earlier record has the image id 7 and this image")


def test_lists_of_several_lengths_belong_to_no_one(records: Records, one: dict[str, Any]) -> None:
    one["image/object/bbox/ymin"] = [0.1]
    [image], findings = read(records(one))
    assert ([box.corners for box in image.boxes], findings) == ([None, None], [])
    one["image/object/bbox/ymin"] = [0.1, 0.5]
    one["image/object/area"] = [1.0]
    one["image/object/class/label"] = [1, 2, 1]
    [image], findings = read(records(one))
    assert len(image.boxes) == 3
    assert {finding.reason for finding in findings} == {"incomplete list"}
    assert "1 image/object/area for 3 objects are left out" in [finding.message for finding in findings]


@pytest.mark.parametrize("area", [math.nan, -1.0, 0.0, math.inf])
def test_an_area_that_is_none_is_left_out(records: Records, one: dict[str, Any], area: float) -> None:
    one["image/object/area"] = [area, 8.0]
    assert [box.area for box in read(records(one))[0][0].boxes] == [None, 8.0]


def test_masks_come_as_run_lengths_where_asked_for(records: Records, one: dict[str, Any]) -> None:
    mask = np.zeros((40, 60, 1), np.uint8)
    mask[2:5, 3] = 1
    one["image/object/mask"] = [bytes(tf.io.encode_png(mask).numpy()), b"no picture"]
    path = records(one)
    assert [box.segmentation for box in read(path)[0][0].boxes] == [None, None]
    [image], [finding] = read(path, masks=True)
    runs = {"counts": [3 * 40 + 2, 3, 40 * 60 - 3 * 40 - 5], "size": [40, 60]}
    assert [box.segmentation for box in image.boxes] == [runs, None]
    assert (finding.reason, finding.outcome) == ("unusable mask", "noted")
    assert finding.message.startswith("object 2: the mask cannot be decoded")


@pytest.mark.parametrize(
    ("key", "values", "says"),
    [
        ("image/encoded", [], "the record holds no image/encoded"),
        ("image/encoded", [1], "image/encoded is a int64_list, not a bytes_list"),
        ("image/height", [40.0], "image/height is a float_list"),
        ("image/object/bbox/ymin", [1, 2], "image/object/bbox/ymin is a int64_list"),
        ("image/object/class/label", [b"1", b"2"], "image/object/class/label is a bytes_list"),
    ],
)
def test_a_record_of_other_kinds_is_dropped_with_its_boxes(
    records: Records, one: dict[str, Any], key: str, values: list[Any], says: str
) -> None:
    path = records(one | {key: values})
    [image], _ = read(path)
    assert image.problem[0] == "malformed record"
    assert says in image.problem[1]
    _, ledger = admitted(path)
    assert ledger.images.dropped == {"malformed record": 1}
    assert ledger.boxes.dropped == {"malformed record": 2}


def test_damage_is_found_and_the_others_kept(records: Records, one: dict[str, Any], photo: bytes) -> None:
    def at(*corners: float) -> dict[str, Any]:
        sides = ("ymin", "xmin", "ymax", "xmax")
        boxes = {f"image/object/bbox/{side}": [value] for side, value in zip(sides, corners, strict=True)}
        name = str(corners).encode()
        return {"image/encoded": [photo], "image/filename": [name], "image/object/class/text": [b"cat"], **boxes}

    bad = [at(math.nan, 0.0, 1.0, 1.0), at(0.5, 0.5, 0.5, 0.6), at(2.0, 2.0, 3.0, 3.0), at(0.5, 0.5, 1.5, 1.0)]
    broken = {"image/encoded": [b"no image"], "image/object/class/text": [b"cat"]}
    path = records(one, b"\x0ano example", broken, one | {"image/height": [41], "image/source_id": [b"8"]}, *bad)
    path.write_bytes(path.read_bytes() + b"\1\2\3")
    images, ledger = admitted(path)
    assert [len(image.boxes) for image in images] == [2, 0, 0, 0, 1]
    reasons = ("malformed record", "undecodable image", "size mismatch", "damaged record")
    assert ledger.images.dropped == dict.fromkeys(reasons, 1)
    assert ledger.boxes.clipped == {"over the border": 1}
    lost = {"undecodable image": 1, "size mismatch": 2}
    one_each = dict.fromkeys(("non-finite box", "zero-area box", "box outside image"), 1)
    assert ledger.boxes.dropped == one_each | lost
    [finding] = [finding for finding in ledger.findings if finding.reason == "damaged record"]
    assert finding.record == "record 9"
    assert "the record is cut off; the file ends there, after 8 records; copy the file again" in finding.message


def test_our_examples_are_read_back(coco: Path, records: Records) -> None:
    annotations = coco / "annotations/instances_train.json"
    labels = coco_label_map([annotations])
    classes = {label.category_id: label.id for label in labels}
    ours = [image for image, _ in admit_all(read_coco([annotations]), coco, "train", classes) if image]
    again, _ = admitted(records(*(serialise(image, labels) for image in ours)), TfodClasses.of_examples(labels))
    assert len(again) == len(ours) == 3
    for image, other in zip(again, ours, strict=True):
        assert (image.source_id, image.file_name, image.encoded) == (other.source_id, other.file_name, other.encoded)
        np.testing.assert_allclose(image.boxes, other.boxes, rtol=1e-6)
        for name in ("classes", "area", "is_crowd", "difficult"):
            np.testing.assert_array_equal(getattr(image, name), getattr(other, name))


def test_shards_are_a_glob_and_each_counts_its_own(records: Records, one: dict[str, Any], tmp_path: Path) -> None:
    path = records(one)
    for number in (1, 0):
        path.with_name(f"train-{number}-of-2").write_bytes(path.read_bytes())
    files = tfod_files(tmp_path, "train-*")
    assert [file.name for file in files] == ["train-0-of-2", "train-1-of-2"]
    entries = list(read_tfod(files, CATS))
    assert [entry for entry in entries if isinstance(entry, Read)] == [Read(1, 2)] * 2
    assert entries[2].problem[0] == "duplicate image id"
    with pytest.raises(DataError, match="no file matches 'eval-\\*'; give TFRecords"):
        tfod_files(tmp_path, "eval-*")
