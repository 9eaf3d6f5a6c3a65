"""Do two runs of one detector on one image find the same?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.boxes import iou, xywh_to_yxyx
from efficientdet.scored_image import Found

IOU, PIXELS, SCORE = 0.9, 0.5, 0.02
"""Boxes of counterparts overlap so much, or their corners lie so near; their scores differ so little."""


@dataclass(frozen=True)
class Agreement:
    """How much of what two runs found is the same; counted by score, since weak detections matter less.

    agreed: sum of the scores of detections that have a counterpart in the other run. total: of all.
    """

    agreed: float = 0.0
    total: float = 0.0

    @property
    def share(self) -> float:
        """0..1; 1 where neither found anything."""
        return self.agreed / self.total if self.total else 1.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.agreed + other.agreed, self.total + other.total)


def agreement(a: Found, b: Found) -> Agreement:
    """Of one image. Counterparts are of one class, of boxes within IOU or PIXELS, and of scores within SCORE.

    Each detection is the counterpart of one other at most.
    """
    if not len(a.scores) or not len(b.scores):
        return Agreement(0.0, float(a.scores.sum() + b.scores.sum()))
    nearness, agreed = _nearness(a, b), 0.0
    for i in np.argsort(-a.scores, kind="stable"):
        j = np.argmax(nearness[i])
        if nearness[i, j] > -np.inf:
            agreed += a.scores[i] + b.scores[j]
            nearness[:, j] = -np.inf
    return Agreement(float(agreed), float(a.scores.sum() + b.scores.sum()))


def _nearness(a: Found, b: Found) -> NDArray[np.float64]:
    """`[n, m]` what is greatest for the best counterpart, and minus infinity where two detections cannot be one."""
    boxes, others = xywh_to_yxyx(a.boxes_xywh), xywh_to_yxyx(b.boxes_xywh)
    overlaps = iou(boxes, others)
    distances = np.abs(boxes[:, None] - others[None]).max(axis=2)
    same = (a.classes[:, None] == b.classes[None]) & (np.abs(a.scores[:, None] - b.scores[None]) <= SCORE)
    return np.where(same & ((overlaps >= IOU) | (distances <= PIXELS)), overlaps - distances, -np.inf)
