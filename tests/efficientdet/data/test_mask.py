"""Segmentations as pictures: equal to pycocotools' for sound ones, refused where pycocotools would trust blindly."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from efficientdet.data.image_file import UnusableError
from efficientdet.data.mask import encode_mask

HEIGHT, WIDTH = 30, 40
SIZE = [HEIGHT, WIDTH]
PICTURES = st.binary(min_size=15, max_size=15).map(
    lambda data: np.unpackbits(np.resize(np.frombuffer(data, np.uint8), HEIGHT * WIDTH // 8)).reshape(HEIGHT, WIDTH)
)


def decoded(segmentation: Any) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(encode_mask(segmentation, HEIGHT, WIDTH)))
    assert (picture.format, picture.mode) == ("PNG", "L")
    return np.asarray(picture)


@settings(deadline=None)
@given(PICTURES)
def test_runs_give_the_picture_they_were_made_of(picture: NDArray[np.uint8]) -> None:
    runs = coco_mask.encode(np.asfortranarray(picture))
    lengths = np.diff(np.flatnonzero(np.diff(picture.T.ravel(), prepend=0, append=2) != 0), prepend=0)
    for counts in (runs["counts"], runs["counts"].decode(), lengths.tolist()):
        np.testing.assert_array_equal(decoded({"counts": counts, "size": SIZE}), picture)


def test_polygons_are_filled_and_united() -> None:
    square, apart = [1, 2, 6, 2, 6, 5, 1, 5], [20.0, 10.0, 30.0, 10.0, 30.0, 20.0, 20.0, 20.0]
    picture = decoded([square, apart])
    assert picture[2:5, 1:6].all()
    assert picture.sum() == 15 + 100
    assert set(np.unique(picture)) == {0, 1}


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-50, 90), min_size=6, max_size=20), min_size=1, max_size=3))
def test_any_polygon_is_drawn_or_refused(polygons: list[list[float]]) -> None:
    if any(len(polygon) % 2 for polygon in polygons):
        with pytest.raises(UnusableError):
            decoded(polygons)
    else:
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)))
        np.testing.assert_array_equal(decoded(polygons), expected)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "cannot be used"),
        (5, "cannot be used"),
        ("text", "cannot be used"),
        ([], "no polygon of three points"),
        ([[1, 2, 3, 4]], "no polygon of three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "no polygon of three points"),
        ([[[1, 2], [3, 4], [5, 6]]], "no polygon of three points"),
        ([{"x": 1}], "cannot be used"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite or far outside"),
        ([[1, 2, 3, 4, 5, 1e300]], "not finite or far outside"),
        ([[1, 2, 3, 4, 5, 10**400]], "cannot be used"),
        ([[0, 0, 90_000, 90_000] * 100], "outline is longer than 1000000 pixels"),
        ([[0, 0, 5, 0, 5, 5]] * 2000, "more than 1000 polygons"),
        ({}, "cannot be used"),
        ({"counts": [], "size": SIZE}, "do not fill the image"),
        ({"counts": [1, 2], "size": SIZE}, "do not fill the image"),
        ({"counts": [1200, -1, 1], "size": SIZE}, "do not fit the image"),
        ({"counts": [1 << 62] * 4 + [1200], "size": SIZE}, "do not fit the image"),
        ({"counts": [10**30], "size": SIZE}, "cannot be used"),
        ({"counts": [[1200]], "size": SIZE}, "do not fit|do not fill"),
        ({"counts": [1200], "size": [40, 30]}, "the image of"),
        ({"counts": [1200], "size": [float("nan"), 40]}, "cannot be used"),
        ({"counts": [1200], "size": 5}, "cannot be used"),
        ({"counts": None, "size": SIZE}, "cannot be used"),
        ({"counts": "", "size": SIZE}, "do not fill the image"),
        ({"counts": "P", "size": SIZE}, "damaged"),
        ({"counts": "oooooooo", "size": SIZE}, "damaged"),
        ({"counts": "\0", "size": SIZE}, "damaged"),
        ({"counts": "ü", "size": SIZE}, "damaged"),
        ({"counts": "\ud800", "size": SIZE}, "cannot be used"),
        ({"counts": "PPPPPPP`P0", "size": SIZE}, "damaged|do not fill|negative"),
        ({"counts": "1N", "size": SIZE}, "negative|do not fill"),
    ],
)
def test_anything_else_is_an_unusable_mask(segmentation: Any, words: str) -> None:
    with pytest.raises(UnusableError, match=words) as error:
        encode_mask(segmentation, HEIGHT, WIDTH)
    assert error.value.reason == "unusable mask"


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(48, 111), max_size=12).map(bytes) | st.text(max_size=8))
def test_no_run_lengths_make_pycocotools_write_outside(counts: str | bytes) -> None:
    try:
        picture = decoded({"counts": counts, "size": SIZE})
    except UnusableError:
        return
    assert picture.max() <= 1


def test_all_masks_of_coco_are_drawn_as_pycocotools_does(shared: Path) -> None:
    instances = json.loads((shared / "data/coco_mini/annotations/instances_train2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in instances["images"]}
    crowds = [a for a in instances["annotations"] if a["iscrowd"]]
    for annotation in crowds + instances["annotations"][:100]:
        height, width = sizes[annotation["image_id"]]
        runs = coco_mask.frPyObjects(annotation["segmentation"], height, width)
        expected = coco_mask.decode(runs if annotation["iscrowd"] else coco_mask.merge(runs))
        picture = Image.open(io.BytesIO(encode_mask(annotation["segmentation"], height, width)))
        np.testing.assert_array_equal(np.asarray(picture), expected)
