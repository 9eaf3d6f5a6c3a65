"""A clean copy of VOC annotations."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from efficientdet.check.inspection import check_splits
from efficientdet.check.report import Report
from efficientdet.check.split import voc_splits
from efficientdet.config import Config

XML = """<annotation><!-- by hand --><filename>{stem}.png</filename><source><camera>C</camera></source>
<size><width>128</width><height>{height}</height></size>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><pose>Left</pose><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x2}</xmax>
<ymax>{y2}</ymax></bndbox></object>"""


def box(name: str, x: float, y: float, x2: float, y2: float) -> str:
    return OBJECT.format(name=name, x=x, y=y, x2=x2, y2=y2)


@pytest.fixture
def voc(tmp_path: Path, paint) -> Path:
    """Three images with two boxes each, and one whose XML is missing."""
    root = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for i, stem in enumerate(("a", "b", "c", "d")):
        paint(i).save(root / "JPEGImages" / f"{stem}.png")
        objects = box("cat", 10, 10, 50, 50) + box("dog", 30, 30, 90, 90)
        (root / "Annotations" / f"{stem}.xml").write_text(XML.format(stem=stem, height=96, objects=objects))
    (root / "Annotations/d.xml").unlink()
    (root / "ImageSets/Main/train.txt").write_text("a  1\nb -1\nd  1\na  1\nc  1\n")
    return root


def check(voc: Path, images: Path | None = None, fix: Path | None = None) -> Report:
    return check_splits(voc_splits(voc, ["train"], images), Config(), fix=fix)


def test_a_clean_copy(voc: Path, tmp_path: Path, codes) -> None:
    objects = box("cat", 10, 10, 50, 50) * 2 + box("dog", 9, 9, 9, 30) + box("dog", 100.5, 80, 140, 120)
    (voc / "Annotations/b.xml").write_text(XML.format(stem="b", height=0, objects=objects))
    before = {path: path.read_bytes() for path in voc.rglob("*") if path.is_file()}
    report = check(voc, fix=tmp_path / "clean")
    assert {"A102": 1, "A105": 1, "B303": 1, "B305": 1, "B306": 1}.items() <= codes(report).items()
    assert {path: path.read_bytes() for path in voc.rglob("*") if path.is_file()} == before
    clean = tmp_path / "clean"
    assert report.fixed == [clean / "Annotations", clean / "ImageSets"]
    assert (clean / "ImageSets/Main/train.txt").read_text() == "a  1\nb -1\nc  1\n"
    b = ElementTree.parse(clean / "Annotations/b.xml").getroot()
    assert [b.findtext("size/height"), b.findtext("source/camera")] == ["96", "C"]
    assert [[e.text for e in box] for box in b.iterfind("object/bndbox")] == [
        ["10", "10", "50", "50"],
        ["100.5", "80", "128", "96"],
    ]
    assert [e.text for e in b.iterfind("object/pose")] == ["Left", "Left"]
    again = check(clean, voc / "JPEGImages")
    assert again.verdict() is None
    assert again.splits["train"].ledger.boxes.read == 6
    assert not {"B305", "B306"} & again.cases.keys()


def test_the_real_zero_size_boxes_go(shared: Path, tmp_path: Path) -> None:
    bccd = shared / "data/bccd/BCCD"
    report = check_splits(voc_splits(bccd, ["val", "train"]), Config(), fix=tmp_path / "clean")
    assert report.count("error") == 2
    again = check_splits(voc_splits(tmp_path / "clean", ["val", "train"], bccd / "JPEGImages"), Config())
    assert again.verdict() is None
    counts = [r.splits[s].ledger.boxes.kept for r in (report, again) for s in ("train", "val")]
    assert counts == [2804, 1137, 2804, 1137]


def test_stems_that_lead_out_of_the_folder_are_left_out(voc: Path, tmp_path: Path) -> None:
    shutil.copy(voc / "Annotations/c.xml", voc / "Annotations/e.xml")
    (voc / "ImageSets/Main/train.txt").write_text("a\n../../voc/Annotations/c\n")
    check(voc, fix=tmp_path / "clean")
    assert sorted(p.name for p in (tmp_path / "clean").rglob("*.xml")) == ["a.xml"]
    assert (tmp_path / "clean/ImageSets/Main/train.txt").read_text() == "a\n"
    assert not (tmp_path / "clean" / ".." / "Annotations").exists()
