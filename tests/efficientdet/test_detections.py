"""The answer type."""

from __future__ import annotations

import json

import numpy as np

from efficientdet.detections import Detections, to_records
from efficientdet.label_map import LabelMap


def two_images() -> Detections:
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[0, 0], boxes[0, 1] = [1, 2, 3, 4], [5, 6, 7, 8]
    scores = np.array([[0.9, 0.4, 0], [0, 0, 0]], np.float32)
    return Detections(boxes, scores, np.array([[2, 1, 0], [0, 0, 0]], np.int32), np.array([2, 0], np.int32))


def test_iteration_yields_only_valid_slots():
    detections = two_images()
    assert len(detections) == 2
    (boxes, scores, classes), (none, _, _) = detections
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert classes.tolist() == [2, 1]
    assert scores.shape == (2,)
    assert none.shape == (0, 4)


def test_above_keeps_the_sure_ones():
    sure = two_images().above(0.5)
    assert sure.count.tolist() == [1, 0]
    assert sure.boxes[0, 1].tolist() == [0, 0, 0, 0]


def test_records_name_classes_and_original_ids():
    label_map = LabelMap.from_categories([{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}])
    first, second = to_records(two_images(), label_map)
    assert json.loads(json.dumps(first[0])) == {
        "class": "dog",
        "class_id": 2,
        "category_id": 9,
        "score": 0.9,
        "box": {"ymin": 1, "xmin": 2, "ymax": 3, "xmax": 4},
    }
    assert second == []
