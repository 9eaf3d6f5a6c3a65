"""The best anchor, found without trying all of them, is the best of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.anchors import anchors_for
from efficientdet.boxes import iou
from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.config import Config

CONFIGS = [
    Config().override({"model": {"image_size": 64}}),
    Config().override({"model": {"image_size": "96x64", "aspect_ratios": [[1.4, 0.7], 3.0], "num_scales": 2}}),
    Config().override({"model": {"name": "efficientdet-d0", "image_size": 100}}),
]
MATCHES = [(AnchorMatch(config), anchors_for(config).boxes, config.model.input_size) for config in CONFIGS]


@given(data=st.data(), number=st.integers(0, len(CONFIGS) - 1))
@settings(deadline=None)
def test_equals_trying_all_anchors(data: st.DataObject, number: int) -> None:
    match, anchors, (height, width) = MATCHES[number]
    side = st.floats(0, 1, width=32)
    corners = np.array(data.draw(st.lists(st.tuples(side, side, side, side), min_size=1, max_size=8)))
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:]) + 0.01
    boxes = np.concatenate([low, high], axis=1) * [height, width, height, width]
    np.testing.assert_allclose(match.best_iou(boxes), iou(boxes, anchors.astype(np.float64)).max(axis=1), atol=1e-5)


def test_an_anchor_matches_itself() -> None:
    match, anchors, _ = MATCHES[0]
    np.testing.assert_allclose(match.best_iou(anchors), 1, atol=1e-5)
    assert len(match.shapes) == 5 * 9


@pytest.mark.parametrize(("height", "width", "scale"), [(320, 320, 1), (640, 320, 0.5), (100, 160, 2)])
def test_scale_is_that_of_the_letterbox(height: int, width: int, scale: float) -> None:
    assert AnchorMatch(Config()).scale(height, width) == scale
