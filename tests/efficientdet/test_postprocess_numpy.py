"""The post-processing without TensorFlow finds what the one with it finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.model.detector import RawOutputs
from efficientdet.model.postprocess import postprocess
from efficientdet.postprocess_numpy import postprocess as postprocess_numpy

CLASSES = 5
SETTINGS = {
    "hard, per class": {},
    "hard, global": {"per_class": False, "iou_threshold": 0.3},
    "gaussian, per class": {"method": "gaussian", "score_threshold": 0.05},
    "gaussian, global, no threshold": {"method": "gaussian", "per_class": False, "score_threshold": 0},
    "best class of every anchor": {"max_candidates": 0},
    "few candidates, more slots": {"max_candidates": 7, "max_detections": 50},
    "nothing scores enough": {"score_threshold": 0.9999},
}


@pytest.mark.parametrize("nms", SETTINGS.values(), ids=SETTINGS)
def test_both_find_the_same(nms: dict[str, Any]) -> None:
    config = Config().override({"model": {"image_size": "96x64"}, "nms": {"max_detections": 30} | nms})
    anchors = anchors_for(config)
    rng = np.random.default_rng(0)
    logits, deltas = (
        [
            rng.normal(shift, spread, (1, h, w, anchors.per_cell * values)).astype(np.float32)
            for h, w in anchors.feature_sizes
        ]
        for shift, spread, values in ((-2, 2, CLASSES), (0, 0.7, 4))
    )
    boxes, scores, classes = postprocess_numpy(
        logits, deltas, anchors.boxes, CLASSES, config.model.input_size, config.nms
    )
    expected = postprocess(
        RawOutputs(logits, deltas), anchors.boxes, CLASSES, image_size=(64, 96), **config.nms.to_dict()
    )
    count = int(expected[3][0])
    assert len(scores) == count
    assert (count == 0) == (config.nms.score_threshold > 0.99)
    np.testing.assert_allclose(scores, expected[1][0, :count], atol=1e-5)
    np.testing.assert_allclose(boxes, expected[0][0, :count], atol=1e-2)
    np.testing.assert_array_equal(classes, expected[2][0, :count])


def test_boxes_without_bounds_end_at_the_border() -> None:
    config = Config().override({"model": {"image_size": 64}})
    anchors = anchors_for(config)
    logits = [np.full((1, h, w, 9), 2, np.float32) for h, w in anchors.feature_sizes]
    deltas = [np.full((1, h, w, 36), 200, np.float32) for h, w in anchors.feature_sizes]
    boxes, scores, _ = postprocess_numpy(logits, deltas, anchors.boxes, 1, (64, 64), config.nms)
    assert len(scores) > 0
    assert boxes.min() >= 0
    assert boxes.max() <= 64
