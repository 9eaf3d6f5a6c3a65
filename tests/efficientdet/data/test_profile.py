from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import profile
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.profile import Profile, profile_example, total
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cat", "собака", "owl"])


def record(boxes: list[tuple[int, int, int, int]], classes: list[int], height: int = 480, width: int = 640) -> bytes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    n = len(boxes)
    image = AnnotatedImage(
        source_id="1",
        file_name="1.png",
        encoded=b"no image at all",
        image_format="png",
        height=height,
        width=width,
        boxes=corners,
        classes=np.array(classes, np.int32),
        is_crowd=np.zeros(n, bool),
        area=(corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]),
        difficult=np.zeros(n, bool),
    )
    return to_example(image, LABELS).SerializeToString()


@st.composite
def records(draw: st.DrawFn) -> bytes:
    height, width = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    side = st.tuples(st.integers(0, 4000), st.integers(1, 1000))
    boxes = draw(st.lists(st.tuples(side, side, st.integers(1, len(LABELS))), max_size=20))
    corners = [(y, x, y + h, x + w) for (y, h), (x, w), _ in boxes]
    return record(corners, [c for *_, c in boxes], height, width)


def test_every_box_and_image_falls_into_its_bin() -> None:
    found = profile_example(record([(0, 0, 31, 33), (0, 0, 240, 320), (0, 0, 480, 640)], [1, 2, 2]))
    assert found.classes == {"cat": 1, "собака": 2}
    assert found.box_size == {"small": 1, "large": 2}
    assert found.box_area == {"0.00195": 1, "0.25": 1, "0.5": 1}, "1/300 lies in 1/512..1/256"
    assert found.image_size == {"512": 1}, "the root of 307200 pixels is 554"
    assert found.boxes_per_image == {"3": 1}


def test_the_borders_of_coco_sizes_belong_to_the_greater() -> None:
    areas = [record([(0, 0, side, side)], [1]) for side in (31, 32, 95, 96)]
    assert total(map(profile_example, areas)).box_size == {"small": 1, "medium": 2, "large": 1}


def test_an_image_without_boxes_counts_as_one() -> None:
    found = profile_example(record([], []))
    assert (found.classes, found.boxes_per_image) == ({}, {"0": 1})


def test_what_a_record_lacks_is_not_counted() -> None:
    assert profile_example(tf.train.Example().SerializeToString()) == Profile(boxes_per_image=Counter({"0": 1}))


@settings(deadline=None, max_examples=30)
@given(st.lists(records(), max_size=6), st.integers(0, 6))
def test_the_profile_of_all_is_the_sum_of_its_parts(data: list[bytes], cut: int) -> None:
    profiles = [profile_example(each) for each in data]
    whole = total(profiles)
    assert whole == total(profiles[:cut]) + total(profiles[cut:]) == total(profiles[cut:]) + total(profiles[:cut])
    assert whole.boxes_per_image.total() == whole.image_size.total() == len(data)
    assert whole.classes.total() == whole.box_size.total() == whole.box_area.total()


@settings(deadline=None, max_examples=20)
@given(st.lists(records(), max_size=4))
def test_a_file_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("profile") / profile.FILE_NAME
    splits = {"train": total(map(profile_example, data)), "eval": Profile()}
    path.write_text(profile.to_json(splits))
    assert profile.load(path) == splits


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("", "is not a profile"),
        ("[]", "is not a profile"),
        (json.dumps({"format": 1, "splits": {"train": {}}}), "is not a profile"),
        (json.dumps({"format": 2, "splits": {}}), "has format 2, but this version reads format 1"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / profile.FILE_NAME
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=says):
        profile.load(path)
