"""Do detections of score 0.7 find an object seven times in ten?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.report.study import Contender

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Detections in BINS equal steps of score from 0 to 1, `[BINS]` each.

    counts: detections. scores: their mean score. precisions: the part of them that found an object at IoU 0.5. Both
    are nan where there is none.
    """

    counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @property
    def expected_error(self) -> float | None:
        """ECE: the mean distance of score and precision, weighted by detections; None without any."""
        if not self.counts.sum():
            return None
        distance = np.nan_to_num(np.abs(self.scores - self.precisions))
        return float((distance * self.counts).sum() / self.counts.sum())


def calibrate(contender: Contender) -> Calibration:
    """The reliability of all detections that count, whatever their score."""
    rows = ~contender.assignment.ignored
    scores, true = np.clip(contender.detected.scores[rows], 0, 1), contender.assignment.true[rows]
    places = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    sums = (np.bincount(places, weights, minlength=BINS) for weights in (scores, true))
    return Calibration(counts, *(np.divide(s, counts, np.full(BINS, np.nan), where=counts > 0) for s in sums))
