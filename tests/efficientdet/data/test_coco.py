"""COCO instances JSON, sound and damaged: what is kept, and the sentence for what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.errors import DataError

Edit = Callable[[Callable[[dict[str, Any]], object]], None]
FILE = "annotations/instances_train.json"


def test_reads_boxes_as_yxyx_pixels(coco: Path, read) -> None:
    instances = json.loads((coco / FILE).read_text())
    images, ledger = read()
    expected = [a for a in instances["annotations"] if a["image_id"] == 1]
    x, y, w, h = np.asarray([a["bbox"] for a in expected], np.float32).T
    np.testing.assert_array_equal(images[0].boxes, np.stack([y, x, y + h, x + w], axis=-1))
    np.testing.assert_array_equal(images[0].classes, [a["category_id"] + 1 for a in expected])
    np.testing.assert_array_equal(images[0].area, w * h)
    assert [image.source_id for image in images] == ["1", "2", "3"]
    assert images[0].encoded == (coco / "train/000001.jpg").read_bytes()
    assert (ledger.images.kept, ledger.boxes.kept) == (3, len(instances["annotations"]))
    assert ledger.findings == []


def test_crowds_and_segmentation_areas_are_carried(edit: Edit, read) -> None:
    edit(lambda d: d["annotations"][0].update(iscrowd=1, area=12.5))
    image = read()[0][0]
    assert image.is_crowd.tolist()[:2] == [True, False]
    assert image.area[0] == 12.5


def test_the_area_of_a_box_stands_in_for_a_missing_one(edit: Edit, read) -> None:
    edit(lambda d: d["annotations"][0].pop("area"))
    image = read()[0][0]
    assert image.area[0] == np.prod(image.boxes[0, 2:] - image.boxes[0, :2])


def test_an_image_without_boxes_stays_as_a_negative(edit: Edit, read) -> None:
    edit(lambda d: d.update(annotations=[]))
    images, ledger = read()
    assert [image.boxes.shape for image in images] == [(0, 4)] * 3
    assert (ledger.images.kept, ledger.boxes.read) == (3, 0)


def test_a_box_over_the_border_is_clipped_not_dropped(edit: Edit, read) -> None:
    edit(lambda d: d["annotations"][0].update(bbox=[-5, 100, 60, 500]))
    images, ledger = read()
    np.testing.assert_array_equal(images[0].boxes[0], [100, 0, 192, 55])
    assert (ledger.boxes.clipped, ledger.boxes.dropped.total()) == (1, 0)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"bbox": [10, 10, 0, 5]}, "zero-area box", "has no area"),
        ({"bbox": [10, 10, -3, 5]}, "zero-area box", "has no area"),
        ({"bbox": [150, 10, 1e-9, 5]}, "zero-area box", "below the precision of float32"),
        ({"bbox": [300, 10, 20, 20]}, "box outside image", "lies outside the image of 192x192 pixels"),
        ({"bbox": [192, 10, 20, 20]}, "box outside image", "lies outside"),
        ({"bbox": [float("nan"), 10, 20, 20]}, "non-finite box", "is not finite"),
        ({"bbox": [1, 10, float("inf"), 20]}, "non-finite box", "is not finite"),
        ({"bbox": [10**400, 1, 1, 1]}, "non-finite box", "is not finite"),
        ({"bbox": [1, 2, 3]}, "malformed box", "not given as four numbers"),
        ({"bbox": ["1", "2", "3", "4"]}, "malformed box", "not given as four numbers"),
        ({"bbox": None}, "malformed box", "not given as four numbers"),
        ({"category_id": 77}, "unknown category", "category 77 is not in the label map"),
        ({"category_id": [1]}, "unknown category", "is not in the label map"),
        ({"image_id": 99}, "unknown image id", "belongs to image id 99, which is not listed"),
        ({"image_id": None}, "unknown image id", "belongs to image id none"),
    ],
)
def test_a_bad_box_is_dropped_with_a_reason(
    coco: Path, edit: Edit, read, change: dict[str, object], reason: str, words: str
) -> None:
    edit(lambda d: d["annotations"][0].update(change))
    images, ledger = read()
    assert len(images) == 3
    assert dict(ledger.boxes.dropped) == {reason: 1}
    (finding,) = ledger.findings
    assert finding.file == str(coco / FILE)
    assert "annotation 1" in finding.record
    assert words in finding.message


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (
            {"file_name": "../../etc/passwd"},
            "outside data folder",
            "'train/../../etc/passwd' leads out of the data folder",
        ),
        ({"file_name": "/etc/passwd"}, "outside data folder", "leads out of the data folder"),
        ({"file_name": "gone.jpg"}, "missing image file", "gone.jpg does not exist"),
        ({"file_name": "a\0b.jpg"}, "unusable file name", "is not a usable file name"),
        ({"file_name": ""}, "malformed record", "has no id and file_name"),
        ({"file_name": 7}, "malformed record", "has no id and file_name"),
        ({"id": None}, "malformed record", "has no id and file_name"),
        ({"height": "tall"}, "malformed record", "must be whole numbers"),
        ({"height": 200}, "size mismatch", "for an image of 192x200 pixels, but 000001.jpg has 192x192"),
    ],
)
def test_a_bad_image_is_dropped_with_its_boxes(
    coco: Path, edit: Edit, read, change: dict[str, object], reason: str, words: str
) -> None:
    edit(lambda d: d["images"][0].update(change))
    boxes = sum(a["image_id"] == 1 for a in json.loads((coco / FILE).read_text())["annotations"])
    images, ledger = read()
    assert len(images) == 2
    assert dict(ledger.images.dropped) == {reason: 1}
    assert ledger.boxes.dropped.total() == boxes
    assert ledger.boxes.kept + ledger.boxes.dropped.total() == ledger.boxes.read
    assert any(words in finding.message for finding in ledger.findings)


def test_a_truncated_jpeg_is_dropped(coco: Path, read, truncate: Callable[[Path], None]) -> None:
    truncate(coco / "train/000002.jpg")
    images, ledger = read()
    assert [image.source_id for image in images] == ["1", "3"]
    (finding,) = ledger.findings
    assert (finding.reason, finding.record) == ("undecodable image", "image 2 (000002.jpg)")
    assert "truncated" in finding.message


def test_of_two_images_with_one_id_the_first_counts(edit: Edit, read) -> None:
    edit(lambda d: d["images"][1].update(id=1))
    images, ledger = read()
    assert [image.source_id for image in images] == ["1", "3"]
    assert dict(ledger.images.dropped) == {"duplicate image id": 1}


def test_ids_above_float_precision_survive(edit: Edit, read) -> None:
    def change(instances: dict[str, Any]) -> None:
        for entry, key in [(i, "id") for i in instances["images"]] + [
            (a, "image_id") for a in instances["annotations"]
        ]:
            entry[key] += 900100256143

    edit(change)
    images, ledger = read()
    assert images[0].source_id == "900100256144"
    assert ledger.boxes.dropped == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the annotation file is empty"),
        (" \n", "the annotation file is empty"),
        ('{"images": [', "the annotation file is not JSON"),
        ("[" * 100_000, "the annotation file is not JSON"),
        ("[]", "has no list of images"),
        ('{"images": [{}], "categories": [{}]}', "has no list of annotations"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "lists no images at all"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "lists no categories at all"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1}]}', "has no id and name"),
        (
            '{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            "name 'a' is given to two classes",
        ),
        (
            '{"images": [{}], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "category 1 is 'b', but 'a' before",
        ),
    ],
)
def test_an_unusable_file_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        coco_label_map([path])
    assert words in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.json: annotation file not found"):
        coco_label_map([tmp_path / "no.json"])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(DataError, match=r"binary\.json: annotation file cannot be read"):
        coco_label_map([tmp_path / "binary.json"])


def test_coco_mini_is_read_whole(shared: Path) -> None:
    """Counts of the data set's own description: 208 images, 1,644 annotations of which 16 crowd, 80 categories."""
    path = shared / "data/coco_mini/annotations/instances_train2017.json"
    images = [entry for entry in read_coco([path]) if isinstance(entry, ImageAnnotation)]
    boxes = [box for image in images for box in image.boxes]
    assert (len(images), len(boxes), sum(box.is_crowd for box in boxes)) == (208, 1644, 16)
    assert sum(not image.boxes for image in images) == 2
    label_map = coco_label_map([path])
    assert (len(label_map), label_map[80].category_id, label_map[80].name) == (80, 90, "toothbrush")
