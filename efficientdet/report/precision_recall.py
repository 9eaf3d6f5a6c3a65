"""Precision and recall of one class as its detections are believed one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where COCO reads a precision-recall curve."""


def precision_at_recalls(true: NDArray[np.bool_], positives: int) -> NDArray[np.float64]:
    """`[101]` best precision at each of RECALLS or beyond, whose mean is COCO's AP; 0 where it is not reached.

    true `[d]`: whether each detection found an object, by falling score. positives: objects, at least 1.
    """
    found = np.cumsum(true, dtype=np.float64)
    precision = found / np.arange(1, len(true) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return best[np.searchsorted(found / positives, RECALLS)]


def average_precision(true: NDArray[np.bool_], positives: int) -> float:
    """COCO's AP at the IoU at which they were found."""
    return float(precision_at_recalls(true, positives).mean())
