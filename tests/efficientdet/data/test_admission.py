"""Boxes of any kind meet an image: what comes out is sound, and everything is accounted for."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from efficientdet.data.admission import admit, admit_all
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation, Read
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.data.voc import read_voc, voc_label_map

HEIGHT, WIDTH = 30, 40
NUMBERS = st.floats(-60, 60) | st.integers(-60, 60).map(float) | st.sampled_from([float("nan"), float("inf"), 1e300])
BOXES = st.lists(
    st.builds(
        BoxAnnotation,
        record=st.just("annotation 1"),
        category=st.sampled_from([1, 7, "cat", None]),
        corners=st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        area=st.none() | st.floats(1, 100) | st.sampled_from([1e-300, 1e300]),
        is_crowd=st.booleans(),
        difficult=st.booleans(),
        segmentation=st.none(),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    Image.linear_gradient("L").resize((WIDTH, HEIGHT)).save(folder / "a.png")
    return folder


@settings(deadline=None)
@given(boxes=BOXES)
def test_every_box_is_kept_clipped_or_dropped(folder: Path, boxes: list[BoxAnnotation]) -> None:
    entry = ImageAnnotation("a.json", "image 1", "1", "a.png", HEIGHT, WIDTH, boxes)
    image, ledger = admit(entry, folder, "", {1: 1, 7: 2})
    assert image is not None
    assert ledger.boxes.accounted == len(boxes)
    assert len(image.boxes) == ledger.boxes.kept + ledger.boxes.clipped.total()
    assert len(ledger.findings) == len(boxes) - ledger.boxes.kept
    assert all(0 <= finding.kept < 1 for finding in ledger.findings if finding.outcome == "clipped")
    assert (image.boxes >= 0).all()
    assert (image.boxes <= [HEIGHT, WIDTH, HEIGHT, WIDTH]).all()
    assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()
    assert np.isin(image.classes, [1, 2]).all()
    assert ((image.area > 0) & np.isfinite(image.area)).all()
    sizes = {len(values) for values in (image.boxes, image.classes, image.is_crowd, image.area, image.difficult)}
    assert len(sizes) == 1


@settings(deadline=None)
@given(boxes=BOXES)
def test_a_dropped_image_takes_all_its_boxes(folder: Path, boxes: list[BoxAnnotation]) -> None:
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "b.png", boxes=boxes), folder, "", {1: 1})
    assert image is None
    assert dict(ledger.images.dropped) == {"missing image file": 1}
    assert ledger.boxes.dropped.total() == ledger.boxes.accounted == len(boxes)


def test_rounding_of_a_sum_is_not_a_clipping(folder: Path) -> None:
    right = 17.3 + (WIDTH - 17.3) + 4e-15
    box = BoxAnnotation("annotation 1", 1, (0.0, 17.3, 30.0, right + 1e-9))
    _, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png", boxes=[box]), folder, "", {1: 1})
    assert (ledger.boxes.kept, ledger.boxes.clipped) == (1, {})


def test_the_fraction_left_of_a_clipped_box_is_recorded(folder: Path) -> None:
    box = BoxAnnotation("annotation 1", 1, (-10.0, 30.0, 10.0, 50.0))
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png", boxes=[box]), folder, "", {1: 1})
    assert image is not None
    assert image.boxes.tolist() == [[0, 30, 10, 40]]
    [finding] = ledger.findings
    assert (finding.outcome, finding.kept, finding.record) == ("clipped", 0.25, "image 1, annotation 1")
    assert "crosses the border of 40x30 pixels; 25.0% of it is left" in finding.message


def test_of_identical_boxes_the_first_takes_the_others(folder: Path) -> None:
    corners = (1.0, 2.0, 3.0, 4.0)
    boxes = [
        BoxAnnotation("annotation 1", 1, corners),
        BoxAnnotation("annotation 2", 1, corners, area=2.0),
        BoxAnnotation("annotation 3", 7, corners),
        BoxAnnotation("annotation 4", 1, corners, is_crowd=True),
    ]
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png", boxes=boxes), folder, "", {1: 1, 7: 2})
    assert image is not None
    assert image.classes.tolist() == [1, 2, 1]
    assert (ledger.boxes.kept, dict(ledger.boxes.merged)) == (3, {"identical box": 1})
    assert ledger.findings[0].message == "is the same as annotation 1"


def rotated(folder: Path, name: str, orientation: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """An image whose top left corner as stored is white, of an EXIF orientation."""
    picture = Image.new("RGB", size)
    picture.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(folder / name, exif=exif, quality=100)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_lie_on_the_pixels_they_were_drawn_on(tmp_path: Path, name: str, orientation: int) -> None:
    """As stored, unless the annotated size says that they were drawn on the turned image."""
    rotated(tmp_path, name, orientation)
    entry = ImageAnnotation("a.json", "image 1", "1", name, HEIGHT, WIDTH)
    image, ledger = admit(entry, tmp_path, "", {})
    assert image is not None
    assert "turned upright" not in ledger.images.noted
    assert ledger.images.noted["orientation not applied"] == (orientation > 1)
    assert tf.io.decode_image(image.encoded)[4, 4, 0] > 200, "the white corner is where it is stored"

    shown = ImageOps.exif_transpose(Image.open(tmp_path / name))
    image, ledger = admit(replace(entry, height=shown.height, width=shown.width), tmp_path, "", {})
    assert image is not None
    assert (image.height, image.width) == shown.size[::-1]
    turned = orientation >= 5
    assert ledger.images.noted["turned upright"] == turned
    pixels = tf.io.decode_image(image.encoded, channels=3).numpy()
    if turned:
        assert np.abs(pixels.astype(int) - np.asarray(shown.convert("RGB"))).max() < 60
    assert pixels.shape == (image.height, image.width, 3)


def test_another_size_than_annotated_is_a_mismatch(folder: Path) -> None:
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png", WIDTH, HEIGHT), folder, "", {})
    assert image is None
    assert dict(ledger.images.dropped) == {"size mismatch": 1}
    assert "for an image of 30x40 pixels, but a.png has 40x30" in ledger.findings[0].message


def test_masks_come_with_their_boxes_or_are_noted_as_unusable(folder: Path) -> None:
    corners = (1.0, 1.0, 5.0, 5.0)
    boxes = [
        BoxAnnotation("annotation 1", 1, corners, segmentation=[[1, 1, 5, 1, 5, 5, 1, 5]]),
        BoxAnnotation("annotation 2", 7, corners, segmentation={"counts": "?", "size": [1, 1]}),
        BoxAnnotation("annotation 3", 9, corners, segmentation=[[1, 1, 5, 1, 5, 5]]),
    ]
    entry = ImageAnnotation("a.json", "image 1", "1", "a.png", boxes=boxes, captions=["a"], group="g")
    image, ledger = admit(entry, folder, "", {1: 1, 7: 2}, masks=True)
    assert image is not None
    mask = np.asarray(Image.open(io.BytesIO(image.masks[0])))
    assert (mask.shape, mask.sum(), image.masks[1]) == ((HEIGHT, WIDTH), 16, b"")
    assert (ledger.boxes.kept, dict(ledger.boxes.noted)) == (2, {"unusable mask": 1})
    assert (image.captions, image.group) == (("a",), "g")
    assert admit(entry, folder, "", {1: 1, 7: 2})[0].masks == ()


@pytest.mark.parametrize("cut", [20, 60])
def test_what_is_cut_off_is_dropped(folder: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "a.png").write_bytes((folder / "a.png").read_bytes()[:-cut])
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png"), tmp_path, "", {})
    assert image is None
    assert ledger.images.dropped == {"undecodable image": 1}
    assert "a.png cannot be decoded" in ledger.findings[0].message


def test_what_a_reader_says_besides_images_is_accounted_for(folder: Path) -> None:
    entries = [Finding("unknown image id", "a.json", "annotation 1", "belongs to none"), Read(0, 1)]
    ledger = sum((account for _, account in admit_all(entries, folder, "", {})), Ledger())
    ledger.require_balance("train")
    assert (ledger.boxes.read, ledger.boxes.dropped) == (1, {"unknown image id": 1})


@pytest.mark.parametrize(
    ("data_set", "split", "images", "boxes", "dropped"),
    [
        ("coco_mini", "train2017", 208, 1644, []),
        ("coco_mini", "val2017", 80, 815, []),
        ("voc2007_mini/VOCdevkit/VOC2007", "train", 160, 484, []),
        ("voc2007_mini/VOCdevkit/VOC2007", "val", 80, 267, []),
        ("bccd/BCCD", "train", 205, 2805, ["image BloodImage_00343, object 4"]),
        ("bccd/BCCD", "val", 87, 1138, ["image BloodImage_00338, object 13"]),
        ("bccd/BCCD", "test", 72, 945, []),
    ],
)
def test_the_account_of_a_real_data_set(
    data_set: str, split: str, images: int, boxes: int, dropped: list[str], shared: Path
) -> None:
    """Counts of COCO's and VOC's own lists, and BCCD's two boxes of a click without a drag."""
    root = shared / "data" / data_set
    if (root / "annotations").is_dir():
        file, folder = root / f"annotations/instances_{split}.json", split
        classes: dict[object, int] = {label.category_id: label.id for label in coco_label_map([file])}
        entries = read_coco([file])
    else:
        file, folder = root / f"ImageSets/Main/{split}.txt", "JPEGImages"
        classes = {label.name: label.id for label in voc_label_map([file])}
        entries = read_voc(file)
    ledger = sum((account for _, account in admit_all(entries, root, folder, classes)), Ledger())
    ledger.require_balance(split)
    assert (ledger.images.read, ledger.images.kept) == (images, images)
    assert (ledger.boxes.read, ledger.boxes.kept) == (boxes, boxes - len(dropped))
    assert [finding.record for finding in ledger.findings] == dropped
    assert str(ledger).startswith(f"images {images} = {images} kept; boxes {boxes} = {boxes - len(dropped)} kept")
