"""Pascal VOC folders, sound and damaged: what is kept, and the sentence for what is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.voc import read_voc, voc_label_map
from efficientdet.errors import DataError

SET = "ImageSets/Main/train.txt"
BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'
FETCH = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'


@pytest.fixture
def replace(voc: Path) -> Callable[[str, str], None]:
    """Replaces the first `old` by `new` in the annotation of image 000001."""

    def apply(old: str, new: str) -> None:
        path = voc / "Annotations/000001.xml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return apply


def test_pixels_counted_from_one_become_continuous_corners(voc: Path, read_set, read) -> None:
    images, ledger = read_set()
    from_coco, _ = read()
    for image, other in zip(images, from_coco, strict=True):
        np.testing.assert_array_equal(image.boxes, other.boxes)
        np.testing.assert_array_equal(image.area, np.prod(image.boxes[:, 2:] - image.boxes[:, :2], axis=1))
        assert image.encoded == other.encoded
    assert [image.source_id for image in images] == ["000001", "000002", "000003"]
    assert (ledger.images.kept, ledger.boxes.dropped, ledger.boxes.clipped) == (3, {}, {})


def test_difficult_is_carried_and_is_no_crowd(replace, read_set) -> None:
    replace("<difficult>0", "<difficult>1")
    image = read_set()[0][0]
    assert image.difficult.tolist()[:2] == [True, False]
    assert not image.is_crowd.any()


def test_classes_are_sorted_names_or_those_given(voc: Path) -> None:
    names = voc_label_map([voc / SET]).names
    assert names == sorted(names)
    assert all(name.startswith("digit ") for name in names)
    assert voc_label_map([voc / SET], ["z", "a"]).names == ["z", "a"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<bndbox>", "<nobox>", "unparsable XML"),
        ("<difficult>0</difficult><bndbox>", "<difficult>0</difficult><bndbox><part/>", None),
        ("<xmin>", "<xmin>x", "malformed box"),
        ("<xmin>", "<xmin>nan</xmin><xmin>", "non-finite box"),
        ("<xmin>", "<xmin>5000", "zero-area box"),
        ("<xmin>", "<xmin>-9</xmin><xmin>", "clipped"),
        ("<name>", "<noname>0</noname><name>", None),
        ("</name>", "?</name>", None),
    ],
)
def test_an_object_is_kept_clipped_or_dropped(replace, read_set, old: str, new: str, reason: str | None) -> None:
    replace(old, new)
    _, ledger = read_set()
    dropped = ledger.images.dropped + ledger.boxes.dropped
    assert dict(dropped) == ({} if reason in (None, "clipped") else {reason: 1})
    assert ledger.boxes.clipped.total() == (reason == "clipped")


def test_equal_corners_are_no_box_of_one_pixel(replace, read_set, voc: Path) -> None:
    text = (voc / "Annotations/000001.xml").read_text()
    xmin = text.partition("<xmin>")[2].partition("</xmin>")[0]
    xmax = text.partition("<xmax>")[2].partition("</xmax>")[0]
    replace(f"<xmax>{xmax}", f"<xmax>{xmin}")
    _, ledger = read_set()
    assert dict(ledger.boxes.dropped) == {"zero-area box": 1}
    assert ledger.findings[0].record == "image 000001, object 1"


def test_a_class_not_given_is_unknown(voc: Path) -> None:
    from efficientdet.data.admission import admit

    entry = next(read_voc(voc / SET))
    assert isinstance(entry, ImageAnnotation)
    image, ledger = admit(entry, voc, "JPEGImages", {"digit 99": 1})
    assert image is not None
    assert dict(ledger.boxes.dropped) == {"unknown category": len(entry.boxes)}


@pytest.mark.parametrize(
    ("xml", "reason", "words"),
    [
        ("<annotation><object>", "unparsable XML", "does not parse"),
        ("", "unparsable XML", "does not parse"),
        (BOMB, "unparsable XML", "declares an entity"),
        (FETCH, "unparsable XML", "declares an entity"),
        (BOMB.encode("utf-16"), "unparsable XML", "declares an entity"),
        ("<html/>", "unparsable XML", "holds <html>, not <annotation>"),
        ("<annotation><size><width>w</width></size></annotation>", "malformed record", "whole numbers"),
        ("<annotation><size><width>7</width></size></annotation>", "size mismatch", "of 7x192 pixels"),
        ("<annotation><filename>../../etc/passwd</filename></annotation>", "outside data folder", "leads out"),
        ("<annotation><filename>gone.jpg</filename></annotation>", "missing image file", "does not exist"),
        ("<annotation><filename>/etc/passwd</filename></annotation>", "outside data folder", "leads out"),
        ("<annotation><filename>./000001.jpg</filename></annotation>", "same file", "as 000001; give each image one"),
        (f"<annotation><filename>{'a/' * 10**6}</filename></annotation>", "unusable file name", "too long"),
        ("<annotation>\0</annotation>", "unparsable XML", "does not parse"),
        (f"<annotation>{'<a>' * 200}{'</a>' * 200}</annotation>", "unparsable XML", "more than 100 levels deep"),
        (b"<annotation>\xe9</annotation>", "unparsable XML", "does not parse"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unparsable XML", "encoded in 'klingon'"),
        ('<?xml version="1.0" encoding="unicode_escape"?><annotation/>', "unparsable XML", "write it in UTF-8"),
        ("<annotation><size><width>1e400</width></size></annotation>", "malformed record", "whole numbers"),
        (b" " * (1 << 24) + b"<annotation/>", "unparsable XML", "more than 16777216 bytes"),
    ],
)
def test_a_bad_annotation_drops_its_image(voc: Path, read_set, xml: str | bytes, reason: str, words: str) -> None:
    path = voc / "Annotations/000002.xml"
    path.write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    images, ledger = read_set()
    assert [image.source_id for image in images] == ["000001", "000003"]
    (finding,) = (finding for finding in ledger.findings if finding.of == "image")
    assert (finding.reason, finding.file, finding.record) == (reason, str(path), "image 000002")
    assert words in finding.message


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("000001", "duplicate image id"),
        ("000009", "missing annotation file"),
        ("../../etc/passwd", "outside data folder"),
        ("000002 -1", "duplicate image id"),
    ],
)
def test_a_bad_line_of_the_image_set_is_counted(voc: Path, read_set, stem: str, reason: str) -> None:
    with (voc / SET).open("a") as file:
        file.write(f"\n{stem}\n")
    images, ledger = read_set()
    assert len(images) == 3
    assert dict(ledger.images.dropped) == {reason: 1}


def test_an_annotation_without_size_or_filename_is_enough(voc: Path, read_set) -> None:
    (voc / "Annotations/000001.xml").write_text("<annotation><size><width>0</width></size></annotation>")
    images, _ = read_set()
    assert (images[0].file_name, images[0].width, images[0].boxes.shape) == ("000001.jpg", 192, (0, 4))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1251"])
def test_other_encodings_are_read_where_the_xml_names_them(replace, read_set, voc: Path, encoding: str) -> None:
    path, name = voc / "Annotations/000001.xml", "цифра" if encoding == "cp1251" else "ätzend"
    xml = f'<?xml version="1.0" encoding="{encoding}"?>' + path.read_text()
    first = xml.partition("<name>")[2].partition("</name>")[0]
    path.write_bytes(xml.replace(f"<name>{first}", f"<name>{name}", 1).encode(encoding))
    assert name in voc_label_map([voc / SET]).names
    assert read_set()[1].boxes.dropped == {}


def test_names_that_are_no_utf_8_find_their_files(voc: Path, read_set) -> None:
    for path in (voc / "JPEGImages/000002.jpg", voc / "Annotations/000002.xml"):
        path.rename(path.with_stem(os.fsdecode(b"caf\xe9")))
    xml = voc / "Annotations" / os.fsdecode(b"caf\xe9.xml")
    xml.write_text(xml.read_text().replace("<filename>000002.jpg</filename>", ""))
    (voc / SET).write_bytes(b"\xef\xbb\xbf000001\r\ncaf\xe9 1\r\n")
    images, ledger = read_set()
    assert [image.file_name for image in images] == ["000001.jpg", os.fsdecode(b"caf\xe9.jpg")]
    assert ledger.findings == []


def test_objects_beyond_ten_thousand_are_dropped(voc: Path, read_set, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_set()[1].boxes.read
    monkeypatch.setattr("efficientdet.data.voc.MOST_BOXES", 1)
    _, ledger = read_set()
    assert (ledger.boxes.read, ledger.boxes.kept) == (before, 3)
    assert dict(ledger.boxes.dropped) == {"too many boxes": before - 3}


@pytest.mark.parametrize("name", ["Annotations/000002.xml", "JPEGImages/000002.jpg"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path), lambda path: None])
def test_what_is_no_regular_file_is_missing(voc: Path, read_set, name: str, make: Callable[[Path], object]) -> None:
    (voc / name).unlink()
    make(voc / name)
    images, ledger = read_set()
    assert len(images) == 2
    [reason] = ledger.images.dropped
    assert reason in ("missing annotation file", "missing image file", "unusable file name")


def test_a_missing_or_empty_image_set_is_refused(voc: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: image set not found"):
        voc_label_map([voc / "ImageSets/Main/none.txt"], ["a"])
    (voc / SET).write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt: the image set lists no images at all"):
        voc_label_map([voc / SET], ["a"])
    with pytest.raises(DataError, match=r"Main: the image set is not a regular file"):
        voc_label_map([voc / "ImageSets/Main"], ["a"])
    with (voc / SET).open("wb") as file:
        file.truncate(1 << 29)
    with pytest.raises(DataError, match=r"train\.txt: the image set has 536870912 bytes"):
        voc_label_map([voc / SET], ["a"])


def test_annotations_without_any_object_give_no_classes(voc: Path) -> None:
    for path in (voc / "Annotations").iterdir():
        path.write_text("<annotation/>")
    with pytest.raises(DataError, match="name no object at all"):
        voc_label_map([voc / SET])


def test_bccd_is_read_whole(shared: Path) -> None:
    """364 images and 4,888 boxes of three classes, as the data set's own description counts them."""
    folder = shared / "data/bccd/BCCD/ImageSets/Main"
    entries = [entry for name in ("trainval", "test") for entry in read_voc(folder / f"{name}.txt")]
    images = [entry for entry in entries if isinstance(entry, ImageAnnotation)]
    assert (len(images), sum(len(image.boxes) for image in images)) == (364, 4888)
    assert voc_label_map([folder / "trainval.txt"]).names == ["Platelets", "RBC", "WBC"]
