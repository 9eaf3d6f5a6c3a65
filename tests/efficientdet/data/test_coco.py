"""COCO instances JSON, sound and damaged: what is kept, and the sentence for what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.coco import coco_images, coco_label_map, read_coco
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.errors import DataError

Edit = Callable[[Callable[[dict[str, Any]], object]], None]
FILE = "annotations/instances_train.json"
CLASSES = {digit: digit + 1 for digit in range(10)}


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
    assert (ledger.boxes.clipped, ledger.boxes.dropped) == ({"over the border": 1}, {})
    assert ledger.findings[0].kept == pytest.approx(55 * 92 / (60 * 500))


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
        ({"category_id": True}, "unknown category", "category 'True' is not in the label map"),
        ({"bbox": [True, 1, 5, 5]}, "malformed box", "not given as four numbers"),
        ({"bbox": [1e300, 1, 1e300, 1]}, "box outside image", "lies outside"),
        ({"bbox": [0, 0, 1e-30, 1e-30]}, "zero-area box", "below the precision of float32"),
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
        ({"height": 10**400}, "malformed record", "must be whole numbers"),
        ({"file_name": "a" * 5000}, "unusable file name", "File name too long"),
        ({"file_name": "a" * 300}, "missing image file", "File name too long"),
        ({"file_name": "a\n.jpg"}, "missing image file", r"a\n.jpg does not exist"),
        ({"file_name": "\ud800.jpg"}, "unusable file name", r"\ud800.jpg"),
        ({"file_name": "~/a.jpg"}, "missing image file", "does not exist"),
        ({"file_name": "..\\..\\a.jpg"}, "missing image file", "does not exist"),
        ({"file_name": "."}, "missing image file", "is not a regular file"),
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
    (finding,) = (finding for finding in ledger.findings if finding.of == "image")
    assert (finding.reason, finding.record) == ("undecodable image", "image 2 (000002.jpg)")
    assert ledger.boxes.dropped.keys() == {"undecodable image"}
    assert "cannot be decoded" in finding.message


def test_of_two_images_with_one_id_the_first_counts(edit: Edit, read) -> None:
    edit(lambda d: d["images"][1].update(id=1))
    images, ledger = read()
    assert [image.source_id for image in images] == ["1", "3"]
    assert dict(ledger.images.dropped) == {"duplicate image id": 1}


def test_entries_that_name_one_file_are_merged(coco: Path, edit: Edit, read) -> None:
    edit(lambda d: d["images"][1].update(file_name="./000001.jpg"))
    instances = json.loads((coco / FILE).read_text())
    boxes = sum(a["image_id"] in (1, 2) for a in instances["annotations"])
    images, ledger = read()
    assert [image.source_id for image in images] == ["1", "3"]
    assert (dict(ledger.images.merged), ledger.boxes.dropped) == ({"same file": 1}, {})
    assert len(images[0].boxes) + ledger.boxes.merged.total() == boxes
    assert ledger.findings[0].message == "names the same file as image 1, which takes its objects"


def test_one_image_in_two_files_is_merged_with_its_boxes(coco: Path) -> None:
    second = coco / "annotations/again.json"
    second.write_text((coco / FILE).read_text())
    ledgers = [ledger for _, ledger in admit_all(read_coco([coco / FILE, second]), coco, "train", CLASSES)]
    ledger = sum(ledgers, Ledger())
    ledger.require_balance("train")
    assert (ledger.images.kept, dict(ledger.images.merged)) == (3, {"same file": 3})
    assert dict(ledger.boxes.merged) == {"identical box": ledger.boxes.kept}


def test_entries_of_one_file_in_two_sizes_are_not_merged(edit: Edit, read) -> None:
    edit(lambda d: d["images"][1].update(file_name="000001.jpg", height=7))
    images, ledger = read()
    assert [image.source_id for image in images] == ["1", "3"]
    assert dict(ledger.images.dropped) == {"two sizes": 1}


def test_a_file_is_taken_from_the_first_entry_that_can_be_used(edit: Edit, read) -> None:
    edit(lambda d: d["images"][0].update(file_name="000002.jpg", height="tall"))
    images, ledger = read()
    assert [image.source_id for image in images] == ["2", "3"]
    assert dict(ledger.images.dropped) == {"malformed record": 1}


@pytest.mark.parametrize("value", [None, 7, "text", [], [[1]]])
@pytest.mark.parametrize("key", ["images", "annotations"])
def test_an_entry_of_another_type_is_counted_and_dropped(edit: Edit, read, key: str, value: object) -> None:
    edit(lambda d: d[key].append(value))
    images, ledger = read()
    assert len(images) == 3
    dropped = ledger.images.dropped if key == "images" else ledger.boxes.dropped
    assert dict(dropped) == {"malformed record" if key == "images" else "unknown image id": 1}
    assert ledger.findings[0].record.startswith(f"{key}[")


@pytest.mark.parametrize("value", ["[" * 2000 + "]" * 2000, "[" * 200 + "]" * 200, "1" * 5000])
@pytest.mark.parametrize("key", ["images", "annotations"])
def test_an_entry_that_python_cannot_hold_is_dropped_and_the_run_goes_on(
    coco: Path, read, key: str, value: str
) -> None:
    path = coco / FILE
    path.write_text(path.read_text().replace(f'"{key}": [', f'"{key}": [{{"id": 5, "x": {value}}}, ', 1))
    images, ledger = read()
    assert len(images) == 3
    assert (ledger.images if key == "images" else ledger.boxes).dropped.total() == 1


def test_objects_beyond_ten_thousand_are_dropped(coco: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = sum(a["image_id"] == 1 for a in json.loads((coco / FILE).read_text())["annotations"])
    monkeypatch.setattr("efficientdet.data.coco.MOST_BOXES", 1)
    entries = list(read_coco([coco / FILE]))
    findings = [entry for entry in entries if isinstance(entry, Finding) and "image 1 " in entry.record]
    assert [finding.reason for finding in findings] == ["too many boxes"] * (boxes - 1)
    assert "annotation 2" in findings[0].record


def test_without_annotations_all_images_are_negatives(edit: Edit, read) -> None:
    """As COCO's image_info of test-dev."""
    edit(lambda d: d.pop("annotations"))
    images, ledger = read()
    assert [len(image.boxes) for image in images] == [0, 0, 0]
    assert ledger.boxes.read == 0


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"t\tb.jpg", "ü\n.jpg".encode()])
def test_a_name_that_is_no_utf_8_or_has_control_characters_finds_its_file(coco: Path, read, name: bytes) -> None:
    path = coco / FILE
    path.write_bytes(path.read_bytes().replace(b"000001.jpg", name))
    (coco / "train/000001.jpg").rename(coco / "train" / os.fsdecode(name))
    images, _ = read()
    assert os.fsencode(images[0].file_name) == name


def test_captions_and_groups_are_carried(coco: Path, edit: Edit) -> None:
    edit(lambda d: d["images"][0].update(video="v"))
    edit(lambda d: d["annotations"].append({"image_id": 1, "caption": "within"}))
    captions = coco / "annotations/captions.json"
    others: list[Any] = [{"image_id": "1", "caption": "beside"}, {"image_id": 1, "caption": 5}, None, 5]
    captions.write_text(json.dumps({"annotations": others}))
    first, second, *_ = read_coco([coco / FILE], [captions], group_by="video")
    assert isinstance(first, ImageAnnotation)
    assert (first.captions, first.group) == (("within", "beside"), "v")
    assert isinstance(second, ImageAnnotation)
    assert (second.captions, second.group) == ((), None)


def test_segmentations_are_carried_where_masks_are_asked_for(coco: Path, edit: Edit) -> None:
    edit(lambda d: d["annotations"][0].update(segmentation=[[1, 2, 3]]))
    for masks, expected in ((True, [[1, 2, 3]]), (False, None)):
        entry = next(read_coco([coco / FILE], masks=masks))
        assert isinstance(entry, ImageAnnotation)
        assert entry.boxes[0].segmentation == expected


def test_string_ids_gaps_and_missing_flags_are_tolerated(edit: Edit, read) -> None:
    def change(instances: dict[str, Any]) -> None:
        instances["images"][0]["id"] = "a-1"
        for annotation in instances["annotations"]:
            annotation["category_id"] = float(annotation["category_id"] * 1000)
            del annotation["iscrowd"], annotation["area"]
            if annotation["image_id"] == 1:
                annotation["image_id"] = "a-1"
        for category in instances["categories"]:
            category["id"] = str(category["id"] * 1000)

    expected, _ = read()
    edit(change)
    images, ledger = read()
    assert images[0].source_id == "a-1"
    assert not ledger.boxes.dropped
    for image, before in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image.classes, before.classes)
        np.testing.assert_array_equal(image.boxes, before.boxes)
        assert not image.is_crowd.any()


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
        ("[" * 100_000, "holds no JSON object"),
        ("[]", "holds no JSON object"),
        ('{"images": [{}]}', "has no list of categories"),
        ('{"categories": {}}', "has no list of categories"),
        ('{"categories": [null]}', "has no id and name"),
        ('{"categories": [{"id": 1.5, "name": "a"}]}', "has no id and name"),
        ('{"categories": [{"id": 1, "name": "a\\nb"}]}', "has no id and name"),
        ('{"categories": [{"id": 1, "name": "\\ud800"}]}', "has no id and name"),
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
    with pytest.raises(DataError, match=r"binary\.json: the annotation file holds no JSON object"):
        coco_label_map([tmp_path / "binary.json"])
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DataError, match=r"pipe\.json: is not a regular file"):
        coco_label_map([tmp_path / "pipe.json"])


@pytest.mark.parametrize(
    ("text", "words"), [('{"images": []}', "lists no images at all"), ('{"annotations": []}', "has no list of images")]
)
def test_a_file_without_images_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        list(read_coco([tmp_path / "a.json"]))


def test_names_of_images_are_listed(coco: Path, edit: Edit) -> None:
    edit(lambda d: d["images"].extend([None, {}, {"file_name": 5}]))
    assert list(coco_images(coco / FILE)) == ["000001.jpg", "000002.jpg", "000003.jpg"]


def test_coco_mini_is_read_whole(shared: Path) -> None:
    """Counts of the data set's own description: 208 images, 1,644 annotations of which 16 crowd, 80 categories."""
    path = shared / "data/coco_mini/annotations/instances_train2017.json"
    images = [entry for entry in read_coco([path]) if isinstance(entry, ImageAnnotation)]
    boxes = [box for image in images for box in image.boxes]
    assert (len(images), len(boxes), sum(box.is_crowd for box in boxes)) == (208, 1644, 16)
    assert sum(not image.boxes for image in images) == 2
    label_map = coco_label_map([path])
    assert (len(label_map), label_map[80].category_id, label_map[80].name) == (80, 90, "toothbrush")
