"""Pictures of findings, whatever the image is like."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.check.evidence import picture_of
from efficientdet.check.split import Split
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.ledger import Finding
from efficientdet.label_map import LabelMap

CORNERS = ((0.1, 0.1, 0.4, 0.4), None, (0.5, 0.5, 1, 1))
BOXES = [BoxAnnotation(f"box {i}", 1, corners) for i, corners in enumerate(CORNERS)]


def finding(record: str, message: str = "is odd") -> Finding:
    return Finding("tiny box", "a", f"image 1, {record}", message, "noted")


def split(root: Path | None) -> Split:
    return Split("coco", "train", "a", lambda: iter(()), LabelMap.from_names(["cat"]), {}, root)


def annotation(image: str = "1.png", encoded: bytes | None = None) -> ImageAnnotation:
    return ImageAnnotation("a", "image 1", "1", image, 100, 100, BOXES, normalised=True, encoded=encoded)


def red(jpeg: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)), np.int16)
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 100)


def test_all_offenders_of_an_image_are_red() -> None:
    stored = io.BytesIO()
    Image.new("RGB", (100, 100), (90, 90, 90)).save(stored, "PNG")
    image = annotation(encoded=stored.getvalue())
    one = picture_of([finding("box 0")], split(None), image, None)
    both = picture_of([finding("box 0"), finding("box 2")], split(None), image, None)
    assert red(one.thumbnails[0]).sum() < red(both.thumbnails[0]).sum()
    assert not red(one.thumbnails[0])[60:].any()
    assert one.caption == "image 1, box 0: is odd"
    assert both.caption == "image 1, box 0: is odd (and 1 more in this image)"


@pytest.mark.parametrize("name", ["none.png", "pipe.png", "../outside.png", "a\0b.png", "text.png"])
def test_what_cannot_be_shown_is_told_in_words(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")  # would wait for ever
    (folder / "text.png").write_text("no image")
    Image.new("RGB", (9, 9)).save(tmp_path / "outside.png")
    picture = picture_of([finding("box 0")], split(folder), annotation(name), None)
    assert picture.thumbnails == ()
    assert picture.caption == "image 1, box 0: is odd"


def test_the_file_of_an_image_that_was_refused_is_shown(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), (90, 90, 90)).save(tmp_path / "1.png")
    [jpeg] = picture_of([finding("box 0")], split(tmp_path), annotation(), None).thumbnails
    assert red(jpeg).any()
