"""Precision, recall and F1 of a class: over recall, and over the score from which detections are believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.report.precision_recall import precision_at_recalls
from efficientdet.report.study import Contender

THRESHOLDS = np.linspace(0.0, 1.0, 101)


class Curves(NamedTuple):
    """Four curves of 101 points at IoU 0.5.

    precision_at_recalls: COCO's, whose mean is AP50. precision, recall, f1: of the detections that score each of
    THRESHOLDS or more; precision is nan where there is none.
    """

    precision_at_recalls: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def class_curves(contender: Contender, positives: dict[int, int]) -> dict[int, Curves]:
    """The curves of each class that has objects; `positives` says how many."""
    detected, assignment = contender.detected, contender.assignment
    rows = np.flatnonzero(~assignment.ignored)
    rows = rows[np.lexsort((-detected.scores[rows], detected.classes[rows]))]
    scores, true, classes = detected.scores[rows], assignment.true[rows], detected.classes[rows]
    curves = {}
    for class_id, count in positives.items():
        part = slice(*np.searchsorted(classes, (class_id, class_id + 1)))
        curves[class_id] = _curves(scores[part], true[part], count)
    return curves


def mean_curves(curves: Iterable[Curves]) -> Curves:
    """The mean over at least one class at each point, of precision over the classes that have one there."""
    columns = [np.stack(column) for column in zip(*curves, strict=True)]
    known = ~np.isnan(columns[1])
    precision = np.divide(np.nansum(columns[1], axis=0), known.sum(axis=0), np.full(101, np.nan), where=known.any(0))
    return Curves(columns[0].mean(0), precision, columns[2].mean(0), columns[3].mean(0))


def _curves(scores: NDArray[np.float64], true: NDArray[np.bool_], positives: int) -> Curves:
    """Of one class, its detections by falling score."""
    found = np.append(0, np.cumsum(true))
    kept = np.searchsorted(-scores, -THRESHOLDS, side="right")
    precision = np.divide(found[kept], kept, np.full(101, np.nan), where=kept > 0)
    f1 = 2 * found[kept] / (kept + positives)
    return Curves(precision_at_recalls(true, positives), precision, found[kept] / positives, f1)
