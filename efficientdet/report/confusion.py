"""What is taken for what, at the thresholds of the table: its sums are the table's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import MATCH_IOU
from efficientdet.report.study import Contender, Study


@dataclass(frozen=True)
class Confusion:
    """counts `[k + 1, k + 1]`: objects of the class of the row that were detected as the class of the column.

    classes: the k class ids. The last row is background, detections of nothing; the last column objects that nothing
    found. So the diagonal counts true detections, a row the objects of a class and a column its believed detections.
    """

    classes: list[int]
    counts: NDArray[np.int64]

    def largest(self, most: int) -> list[tuple[int, int, int]]:
        """Up to `most` (row, column, count) of two different classes, the largest counts first."""
        between = self.counts[:-1, :-1].copy()
        np.fill_diagonal(between, 0)
        return sorted(Confusion(self.classes, between).cells(most), key=lambda cell: -cell[2])

    def cells(self, most: int) -> list[tuple[int, int, int]]:
        """The `most` (row, column, count) of largest count, row by row; none without a count."""
        rows, columns = self.counts.nonzero()
        chosen = np.sort(np.argsort(-self.counts[rows, columns], kind="stable")[:most])
        return [(int(r), int(c), int(self.counts[r, c])) for r, c in zip(rows[chosen], columns[chosen], strict=True)]

    def busiest(self, most: int) -> Confusion:
        """The part of it that is about the `most` classes with most errors, in the old order."""
        errors = self.counts.sum(axis=0)[:-1] + self.counts.sum(axis=1)[:-1] - 2 * np.diag(self.counts)[:-1]
        chosen = np.sort(np.argsort(-errors, kind="stable")[:most])
        rows = np.append(chosen, len(self.classes))
        return Confusion([self.classes[i] for i in chosen], self.counts[np.ix_(rows, rows)])


def confusion(study: Study, contender: Contender) -> Confusion:
    """Pairs what is left of believed detections and objects, whatever their classes.

    A true detection keeps its object; then the false ones, by falling score, take the object of another class that
    they overlap most, by IoU 0.5 or more, and that nothing has found.
    """
    truths, detected = study.split.truths, contender.detected
    false, found = contender.false, contender.found
    present = np.union1d(truths.classes[study.objects], detected.classes[contender.kept])
    k, row, column = len(present), *(np.searchsorted(present, c) for c in (truths.classes, detected.classes))
    counts = np.zeros((k + 1, k + 1), np.int64)
    np.add.at(counts, (column[contender.true], column[contender.true]), 1)

    d, g, iou = contender.assignment.overlaps
    open_ = (iou >= MATCH_IOU) & false[d] & study.objects[g] & ~found[g]
    d, g, iou = d[open_], g[open_], iou[open_]
    order = np.lexsort((g, -iou, d, -detected.scores[d]))
    false, found = false.copy(), found.copy()
    for i, j in zip(d[order].tolist(), g[order].tolist(), strict=True):
        if false[i] and not found[j]:
            counts[row[j], column[i]] += 1
            false[i], found[j] = False, True
    np.add.at(counts, (np.full(int(false.sum()), k), column[false]), 1)
    lost = study.objects & ~found
    np.add.at(counts, (row[lost], np.full(int(lost.sum()), k)), 1)
    return Confusion(present.tolist(), counts)
