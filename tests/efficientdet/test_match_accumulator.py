from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.coco_metric import CocoAccumulator, Groundtruth, match_images
from efficientdet.match_accumulator import split_by_image

NOTHING = Groundtruth([], [], [], [])


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(["-20", "-3", "5", "10", "0010", "100000000000", "2007_000032", "9" * 30, "a"]))
def test_equal_scores_stand_by_id(order: list[str]) -> None:
    # numbers by value, as COCO's ids, before names; the place of the only right detection is seen in the precision
    box, ids = [0, 0, 9, 9], ["-20", "-3", "5", "0010", "10", "100000000000", "2007_000032", "9" * 30, "a"]
    truth = Groundtruth([box], [1], [0], [81])
    for place, right in enumerate(ids, start=1):
        matches = match_images([(i, truth if i == right else NOTHING, [box], [1], [0.5]) for i in order])
        assert CocoAccumulator(matches).compute().metrics["AP50"] == pytest.approx(1 / place)


def test_memory_is_bounded_by_the_detections_that_are_kept(random_coco: Any, scenes: Any) -> None:
    accumulator = CocoAccumulator(match_images(scenes(*random_coco(1, images=9, classes=2, most=300, coarse=8))))
    before = accumulator.images
    accumulator.compact()
    size = len(pickle.dumps(accumulator))
    accumulator.merge(CocoAccumulator(match_images([(str(i), NOTHING, [], [], []) for i in range(5000)])))
    assert accumulator.images == before + 5000
    assert len(pickle.dumps(accumulator)) <= size + 2  # a larger count of images


def test_compacting_loses_nothing(random_coco: Any, scenes: Any) -> None:
    matches = match_images(scenes(*random_coco(2, images=7, classes=2, most=15, coarse=8)))
    whole, compacted = CocoAccumulator(matches[:4]), CocoAccumulator(matches[:4])
    compacted.compact()
    for accumulator in (whole, compacted):  # what is added later finds its place among the ids
        for image in matches[4:]:
            accumulator.add(image)
    assert compacted.compute() == whole.compute()
    assert all(len(image.records) == 0 or image.records["image"].max() == 0 for image in matches)


def test_records_are_split_by_their_image() -> None:
    records = np.zeros(3, CocoAccumulator.dtype)
    records["score"] = [0.1, 0.2, 0.3]
    parts = split_by_image(["a", "b", "c", "d"], np.array([1, 1, 3]), records, [{}, {}, {}, {}])
    assert [(part.image_id, part.records["score"].tolist()) for part in parts] == [
        ("a", []),
        ("b", [0.1, 0.2]),
        ("c", []),
        ("d", [0.3]),
    ]
