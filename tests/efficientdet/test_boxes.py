"""Laws of box arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from efficientdet import boxes as box

CORNERS = st_np.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-50, 150, width=32))


def ordered(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)


@given(CORNERS)
def test_formats_invert_each_other(corners: np.ndarray):
    boxes = ordered(corners)
    np.testing.assert_allclose(box.xywh_to_yxyx(box.yxyx_to_xywh(boxes)), boxes, atol=1e-9)


def test_xywh_is_coco_order():
    np.testing.assert_array_equal(box.xywh_to_yxyx(np.array([[10, 20, 3, 4]])), [[20, 10, 24, 13]])


@given(CORNERS)
def test_clipping_stays_inside_and_changes_nothing_twice(corners: np.ndarray):
    clipped = box.clip(ordered(corners), 100, 60)
    assert np.all(clipped >= 0)
    assert np.all(clipped <= [100, 60, 100, 60])
    np.testing.assert_array_equal(box.clip(clipped, 100, 60), clipped)
    assert np.all(box.area(clipped) <= box.area(ordered(corners)) + 1e-9)


@given(CORNERS)
def test_iou_is_symmetric_bounded_and_one_with_itself(corners: np.ndarray):
    boxes = ordered(corners)
    overlap = box.iou(boxes, boxes)
    np.testing.assert_allclose(overlap, overlap.T)
    assert np.all((overlap >= 0) & (overlap <= 1 + 1e-9))
    np.testing.assert_allclose(np.diag(overlap), box.area(boxes) > 0, atol=1e-9)


def test_iou_of_a_third():
    np.testing.assert_allclose(box.iou(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 1, 2, 3]])), [[1 / 3]])
