from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.assignment import NOBODY, Assignment, assign, iou_xywh
from efficientdet.coco_metric import CocoAccumulator, Groundtruth, match_image
from efficientdet.scored_image import Found, ScoredImage
from efficientdet.scored_split import gather

A, HALF_OF_A, NEAR_A = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 5.0), (1.0, 0.0, 10.0, 10.0)


def assigned(truth: list, found: list, crowds: int = 0) -> Assignment:
    """Of one image: objects (class, box), the last `crowds` of them crowds, and detections (class, box)."""
    is_crowd = np.arange(len(truth)) >= len(truth) - crowds
    groundtruth = Groundtruth([box for _, box in truth], [c for c, _ in truth], is_crowd, [1.0] * len(truth))
    boxes = np.array([box for _, box in found], float).reshape(-1, 4)
    detections = Found(boxes, np.array([c for c, _ in found], np.int32), np.linspace(0.9, 0.1, len(found)))
    return assign(gather([ScoredImage("1", 100, 100, groundtruth, {"float": detections})]), "float")


def test_the_best_score_chooses_first_by_overlap_and_of_equals_the_last() -> None:
    assert assigned([(1, A), (1, NEAR_A)], [(1, NEAR_A), (1, A), (1, A)]).truth.tolist() == [1, 0, NOBODY]
    assert assigned([(1, A), (1, A)], [(1, A)]).truth.tolist() == [1]
    assert assigned([(1, A)], [(2, A)]).truth.tolist() == [NOBODY]
    assert assigned([(1, A)], [(1, HALF_OF_A)]).truth.tolist() == [0], "0.5 is enough"


def test_a_crowd_is_taken_after_an_object_and_any_number_of_times() -> None:
    found = assigned([(1, A), (1, A)], [(1, A), (1, A), (1, (0, 0, 2, 2)), (2, A)], crowds=1)
    assert found.truth.tolist() == [0, NOBODY, NOBODY, NOBODY]
    assert found.ignored.tolist() == [False, True, True, False]
    assert found.false.tolist() == [False, False, False, True]


def test_beyond_a_hundred_of_a_class_in_an_image_nothing_counts() -> None:
    found = assigned([(1, A)], [(1, (50, 50, 5, 5))] * 100 + [(1, A), (2, A)])
    assert found.ignored.tolist() == [False] * 100 + [True, False]
    assert not found.true.any()


def test_what_is_not_finite_overlaps_nothing() -> None:
    boxes = np.array([[np.nan, 0, 1, 1], [0, 0, np.inf, 1], [0, 0, -5, 5]])
    assert not iou_xywh(boxes, np.array([A]), np.zeros(1, bool)).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_it_is_what_the_coco_metric_counts(seed: int) -> None:
    """The detections that found an object make COCO's recall at IoU 0.5, and those ignored its precision."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(4):
        n, m = rng.integers(0, 6), rng.integers(0, 12)
        truth = np.round(rng.uniform(4, 60, (n, 4)) / 4) * 4
        picked = truth[rng.integers(0, n, m)] if n else np.full((m, 4), 9.0)
        boxes = np.maximum(picked + np.round(rng.normal(0, 4, (m, 4))), 1)
        classes, found = rng.integers(1, 3, n).astype(np.int32), rng.integers(1, 3, m).astype(np.int32)
        groundtruth = Groundtruth(truth, classes, rng.random(n) < 0.3, truth[:, 2] * truth[:, 3])
        scores = -np.sort(-np.round(rng.random(m), 1))
        images.append(ScoredImage(str(i), 99, 99, groundtruth, {"float": Found(boxes, found, scores)}))
    split = gather(images)
    assignment, detected = assign(split, "float"), split.contenders["float"]
    for i, image in enumerate(images):
        one = CocoAccumulator([match_image(image.image_id, image.truth, *image.found["float"])]).compute()
        for class_id, numbers in one.per_class.items():
            rows = (detected.image == i) & (detected.classes == class_id)
            objects = (split.truths.image == i) & (split.truths.classes == class_id) & ~split.truths.is_crowd
            counts = rows & ~assignment.ignored
            true = assignment.true[counts]
            precision = np.cumsum(true) / np.arange(1, len(true) + 1)
            best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
            places = np.searchsorted(np.cumsum(true) / objects.sum(), np.linspace(0, 1, 101))
            assert numbers["AP50"] == pytest.approx(best[places].mean(), abs=1e-12)
