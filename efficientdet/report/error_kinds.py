"""Why detections are wrong and objects are missed, and what AP50 each kind of error costs.

The kinds are those of TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
2020, arXiv:2008.08115), with its foreground IoU of 0.5 and background IoU of 0.1. What a kind costs is what AP50 gains
when an oracle mends all errors of the kind and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import MATCH_IOU, NOBODY, Assignment
from efficientdet.report.precision_recall import average_precision
from efficientdet.scored_split import Detected, ScoredSplit

NONE, CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(7)
KINDS = {
    CLASSIFICATION: "Classification",
    LOCALISATION: "Localisation",
    BOTH: "Both",
    DUPLICATE: "Duplicate",
    BACKGROUND: "Background",
    MISSED: "Missed",
}
MEANINGS = {
    CLASSIFICATION: "an object is found well, and called something else",
    LOCALISATION: "the class is right, and the box overlaps its object by 0.1 to 0.5",
    BOTH: "the class is wrong, and the box overlaps an object by 0.1 to 0.5",
    DUPLICATE: "the object was found already, with a higher score",
    BACKGROUND: "no object is there, or overlaps by 0.1 or less",
    MISSED: "an object is not found, and neither of the first two errors stands for it",
}


@dataclass(frozen=True)
class Diagnosis:
    """The errors of one contender.

    kind `[d]` of each detection, NONE for one that is right or does not count. target `[d]` row of the object that it
    should have found, or that was found before, NOBODY for none. missed `[g]` bool: objects of kind MISSED.
    """

    kind: NDArray[np.int64]
    target: NDArray[np.int64]
    missed: NDArray[np.bool_]


def diagnose(split: ScoredSplit, detected: Detected, assignment: Assignment) -> Diagnosis:
    """Gives every false detection one kind, and every object that was not found and has no other error MISSED."""
    same, same_truth = _best_overlap(split, detected, assignment, same_class=True)
    other, other_truth = _best_overlap(split, detected, assignment, same_class=False)
    kind = np.select(
        [
            ~assignment.false,
            (same > 0) & (same < MATCH_IOU),
            other >= MATCH_IOU,
            same >= MATCH_IOU,
            other > 0,
        ],
        [NONE, LOCALISATION, CLASSIFICATION, DUPLICATE, BOTH],
        BACKGROUND,
    )
    target = np.select(
        [np.isin(kind, (LOCALISATION, DUPLICATE)), np.isin(kind, (CLASSIFICATION, BOTH))],
        [same_truth, other_truth],
        NOBODY,
    )
    missed = ~split.truths.is_crowd
    missed[assignment.truth[assignment.true]] = False
    missed[target[np.isin(kind, (LOCALISATION, CLASSIFICATION))]] = False
    return Diagnosis(kind, target, missed)


class Oracle:
    """AP50 of a contender as it would be without some of its errors."""

    def __init__(self, split: ScoredSplit, detected: Detected, assignment: Assignment, diagnosis: Diagnosis) -> None:
        truths = split.truths
        counts = np.flatnonzero(~assignment.ignored)
        # By falling score, equal ones in COCO's order.
        self._order = counts[np.argsort(-detected.scores[counts], kind="stable")]
        self._classes, self._truth_classes = detected.classes, truths.classes
        self._true, self._truth = assignment.true, assignment.truth
        self._diagnosis = diagnosis
        size = 1 + max(truths.classes.max(initial=0), detected.classes.max(initial=0))
        self._size = int(size)
        self._positives = np.bincount(truths.classes[~truths.is_crowd], minlength=self._size)

    def ap50(self, mended: Collection[int] = ()) -> float | None:
        """AP50 after all errors of the `mended` kinds are mended; COCO's own for none, None without any object.

        A detection of the wrong class or place is put right if its object was not found, by it as the best of those
        that miss the same object; all others are taken away, and so are those that have no object. MISSED objects are
        not counted. Of a class whose objects are all missed AP50 is then 1, but 0 if something else is taken for it.
        """
        kind, target, positives = self._diagnosis.kind, self._diagnosis.target, self._positives
        if MISSED in mended:
            missed = self._truth_classes[self._diagnosis.missed]
            positives = positives - np.bincount(missed, minlength=self._size)
        wrong = np.isin(kind, list(mended))
        right = self._put_right(wrong & np.isin(kind, (CLASSIFICATION, LOCALISATION)))
        classes = self._classes.copy()
        classes[right] = self._truth_classes[target[right]]
        true = self._true.copy()
        true[right] = True
        wrong[right] = False
        return self._mean(self._order[~wrong[self._order]], classes, true, positives)

    def ap50_without_false(self) -> float | None:
        """AP50 if no false detection were shown."""
        order = self._order[self._true[self._order]]
        return self._mean(order, self._classes, self._true, self._positives)

    def ap50_without_missed(self) -> float | None:
        """AP50 if only the objects that were found had been there to be found."""
        found = self._truth_classes[self._truth[self._true]]
        return self._mean(self._order, self._classes, self._true, np.bincount(found, minlength=self._size))

    def _put_right(self, wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of the wrong detections of an object that was not found, the best for each object."""
        free = np.ones(len(self._truth_classes), bool)
        free[self._truth[self._true]] = False
        rows = self._order[wrong[self._order]]
        rows = rows[free[self._diagnosis.target[rows]]]
        _, first = np.unique(self._diagnosis.target[rows], return_index=True)
        return rows[first]

    def _mean(
        self,
        order: NDArray[np.int64],
        classes: NDArray[np.int32],
        true: NDArray[np.bool_],
        positives: NDArray[np.int64],
    ) -> float | None:
        """Over the classes that have objects; `order` are the detections that are left, by falling score."""
        by_class = order[np.argsort(classes[order], kind="stable")]
        ends = np.searchsorted(classes[by_class], np.arange(self._size + 1))
        values = []
        for class_id in np.flatnonzero(self._positives).tolist():
            rows = by_class[ends[class_id] : ends[class_id + 1]]
            left = int(positives[class_id])
            values.append(average_precision(true[rows], left) if left else float(not len(rows)))
        return float(np.mean(values)) if values else None


def _best_overlap(
    split: ScoredSplit, detected: Detected, assignment: Assignment, same_class: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`[d]` the largest overlap with an object of the same or of another class, 0 where none is near, and its row."""
    d, g, iou = assignment.overlaps
    wanted = ~split.truths.is_crowd[g] & ((detected.classes[d] == split.truths.classes[g]) == same_class)
    d, g, iou = d[wanted], g[wanted], iou[wanted]
    order = np.lexsort((-g, iou))  # the last that is written is the largest, of equals the first object
    best, truth = np.zeros(len(detected.classes)), np.full(len(detected.classes), NOBODY)
    best[d[order]], truth[d[order]] = iou[order], g[order]
    return best, truth
