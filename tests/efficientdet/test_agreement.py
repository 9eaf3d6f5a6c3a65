"""What counts as the same detection, and how much of two answers is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.agreement import Agreement, agreement
from efficientdet.scored_image import Found


def found(*detections: tuple[list[float], int, float]) -> Found:
    """Of (box xywh, class, score)."""
    boxes, classes, scores = zip(*detections, strict=True) if detections else ((), (), ())
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(classes, np.int32), np.array(scores, float))


SIDES = st.integers(0, 60).map(float)
DETECTIONS = st.lists(st.tuples(st.lists(SIDES, min_size=4, max_size=4), st.integers(1, 3), st.floats(0.01, 1)))
BOX = [10.0, 10.0, 20.0, 20.0]


@given(DETECTIONS, st.randoms())
def test_an_answer_agrees_with_itself_in_any_order(detections, random):
    shuffled = detections[:]
    random.shuffle(shuffled)
    assert agreement(found(*detections), found(*shuffled)).share == pytest.approx(1)


@given(DETECTIONS, DETECTIONS)
def test_it_is_a_share_of_the_scores(ours, theirs):
    a, b = found(*ours), found(*theirs)
    both = agreement(a, b)
    assert 0 <= both.share <= 1 + 1e-9
    assert both.total == pytest.approx(a.scores.sum() + b.scores.sum())


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ((BOX, 1, 0.9), True),
        (([10.0, 10, 20, 19], 1, 0.9), True),  # IoU 0.95
        (([10.0, 10, 20, 17], 1, 0.9), False),  # IoU 0.85
        ((BOX, 2, 0.9), False),
        ((BOX, 1, 0.885), True),
        ((BOX, 1, 0.85), False),
    ],
)
def test_class_box_and_score_must_be_alike(other, same: bool):
    assert agreement(found((BOX, 1, 0.9)), found(other)).share == same


def test_boxes_without_area_and_small_ones_are_the_same_within_half_a_pixel():
    line = ([3.0, 0, 0, 9], 1, 0.5)
    assert agreement(found(line), found(line)).share == 1
    assert agreement(found(([3.0, 3, 2, 2], 1, 0.5)), found(([3.4, 3, 2, 2], 1, 0.5))).share == 1
    assert agreement(found(([3.0, 3, 2, 2], 1, 0.5)), found(([3.6, 3, 2, 2], 1, 0.5))).share == 0


def test_a_detection_is_counted_once():
    """A suppression that has stopped working answers everything several times."""
    one = (BOX, 1, 0.8)
    assert agreement(found(one), found(one, one, one)).share == pytest.approx(0.5)


def test_a_lost_object_weighs_what_it_scored():
    strong, weak = (BOX, 1, 0.9), ([40.0, 40, 9, 9], 2, 0.05)
    assert agreement(found(strong, weak), found(strong)).share == pytest.approx(1.8 / 1.85)
    assert agreement(found(strong, weak), found(weak)).share == pytest.approx(0.1 / 1)
    assert agreement(found(strong), found()).share == 0


def test_images_add_up_and_nothing_agrees_with_nothing():
    total = sum([agreement(found(), found()), Agreement(1, 4), Agreement(2, 2)], Agreement())
    assert (total, total.share) == (Agreement(3, 6), 0.5)
    assert agreement(found(), found()).share == 1
