"""Whether a client found what our own detector found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IOU = 0.95
SCORE = 1e-3
SLIVER = 1 / 256
"""Part of the picture's larger side below which a box is too thin to be judged by its overlap."""


def assert_same(found: list[dict[str, Any]], detector: Any, image: NDArray[np.uint8]) -> None:
    """Each of the detector's objects is in `found` once, and there are no others.

    `found` has records of name, score and box (yxyx pixels of the image).
    """
    [(boxes, scores, classes)] = detector([image])
    assert len(found) == len(boxes)
    assert len(boxes) > 5, "nothing to compare"
    rest = list(found)
    judged = 0
    for box, score, class_id in zip(boxes, scores, classes, strict=True):
        name = detector.label_map[int(class_id)].name
        alike = [one for one in rest if one["name"] == name and abs(one["score"] - score) < SCORE]
        assert alike, f"{name} {score:.5f} at {box} is missing"
        best = max(alike, key=lambda one: iou(np.array(one["box"]), box))
        rest.remove(best)
        if (box[2:] - box[:2]).min() > SLIVER * max(image.shape):
            judged += 1
            assert iou(np.array(best["box"]), box) >= IOU, f"{name} {score:.5f} at {box}: {best['box']}"
    assert judged > 5, "hardly any box is large enough"


def iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Overlap of two yxyx boxes."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - sides.prod()
    return float(sides.prod() / max(union, 1e-9))
