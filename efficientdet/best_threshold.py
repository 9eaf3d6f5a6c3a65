"""The score from which on the detections of a class are best believed: where F1 at IoU 0.5 is greatest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import Assignment, assign
from efficientdet.scored_image import ScoredImage
from efficientdet.scored_split import Detected, Truths, gather

DEFAULT_THRESHOLD = 0.5
"""Taken for a class of which no threshold is best, as nothing of it was found or there was nothing to find."""


class WorkingPoint(NamedTuple):
    """A class where detections with a score of `threshold` or more are believed.

    true: detections that found an object. false: those that found none. positives: objects. is_best: whether the
    threshold is the class's own, and not DEFAULT_THRESHOLD.
    """

    threshold: float
    true: int
    false: int
    positives: int
    is_best: bool = True

    @property
    def missed(self) -> int:
        """Objects that were not found."""
        return self.positives - self.true

    @property
    def precision(self) -> float | None:
        """Of the believed detections the part that is true; None without any."""
        return _ratio(self.true, self.true + self.false)

    @property
    def recall(self) -> float | None:
        """The part of the objects that was found; None where there is no object."""
        return _ratio(self.true, self.positives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None where there is no object."""
        return _ratio(2 * self.true, self.true + self.false + self.positives) if self.positives else None


def best_thresholds(images: Iterable[ScoredImage], contender: str) -> dict[int, float]:
    """The best threshold by class id, of the classes of which the contender found at least one object.

    Compare with `score >= threshold`. Of equally good ones it is the highest, which shows the fewest detections.
    A class that is missing here has none: nothing of it was found, or there was nothing to find.
    """
    split = gather(images)
    if contender not in split.contenders:
        return {}
    points = working_points(split.contenders[contender], assign(split, contender), split.truths)
    return {class_id: point.threshold for class_id, point in points.items() if point.is_best}


def working_points(detected: Detected, assignment: Assignment, truths: Truths) -> dict[int, WorkingPoint]:
    """The point of best F1 of each class that has an object or a detection, in order of the class ids."""
    counts = ~assignment.ignored
    objects = truths.classes[~truths.is_crowd]
    points = {}
    for class_id in np.union1d(objects, detected.classes).tolist():
        rows = counts & (detected.classes == class_id)
        points[class_id] = best_point(detected.scores[rows], assignment.true[rows], int((objects == class_id).sum()))
    return points


def best_point(scores: NDArray[np.float64], true: NDArray[np.bool_], positives: int) -> WorkingPoint:
    """The best point of one class: scores `[d]`, whether each found an object `[d]`, and how many there are."""
    order = np.argsort(-scores, kind="stable")
    falling, found = scores[order], np.cumsum(true[order])
    # Equal scores are believed together.
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(falling) else np.empty(0, np.int64)
    f1 = 2 * found[ends] / (ends + 1 + positives)
    if not f1.size or not f1.max():
        false = int((scores >= DEFAULT_THRESHOLD).sum())
        return WorkingPoint(DEFAULT_THRESHOLD, 0, false, positives, is_best=False)
    best = int(ends[np.argmax(f1)])
    return WorkingPoint(float(falling[best]), int(found[best]), best + 1 - int(found[best]), positives)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
