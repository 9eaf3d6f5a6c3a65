"""COCO's metrics of images with weights: an image of weight 2 counts as two of its kind.

Copies of a detection stand together where scores are equal. Otherwise the numbers are those of the repeated images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from efficientdet.coco_metric import (
    COCO_METRICS,
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    RECALLS,
    CocoAccumulator,
    ImageMatches,
    unpack,
)

Metric = Callable[[NDArray[np.int32]], NDArray[np.float64]]
"""From s draws, weights per image `[s, n]`, to `[s]` numbers, NaN where no groundtruth has a weight."""

# the area, and the IoU thresholds of a precision or the detections of a recall
_ALL = slice(len(IOU_THRESHOLDS))
_PRECISIONS = {"AP": (0, _ALL), "AP50": (0, slice(0, 1)), "AP75": (0, slice(5, 6))}
_PRECISIONS |= {name: (area, _ALL) for area, name in enumerate(("APs", "APm", "APl"), start=1)}
_RECALLS = dict(zip(COCO_METRICS[len(_PRECISIONS) :], RECALLS, strict=True))


def weighted_metric(images: Sequence[ImageMatches], metric: str, class_id: int | None = None) -> Metric:
    """One of COCO_METRICS of these images: the mean over the classes that have groundtruth, or one class alone."""
    with_records = np.flatnonzero([len(image.records) > 0 for image in images])
    classes = []
    for c, records, _ in CocoAccumulator(images).by_class():
        if class_id in (None, c):
            curve, area = _curve(records, with_records[records["image"]], metric)
            positives = np.array([image.positives[c][area] if c in image.positives else 0 for image in images])
            has = np.flatnonzero(positives)
            classes.append((curve, has, positives[has]))

    def compute(weights: NDArray[np.int32]) -> NDArray[np.float64]:
        total, count = np.zeros((2, len(weights)))
        for curve, has, positives in classes:
            drawn = weights.take(has, 1) @ positives
            total += np.where(drawn, curve(weights, np.maximum(drawn, 1)), 0)
            count += drawn > 0
        return np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)

    return compute


def area_of(metric: str) -> int:
    """The place among COCO's areas of the one whose groundtruth the metric counts."""
    return (_PRECISIONS | _RECALLS)[metric][0]


def _curve(records: NDArray[np.void], images: NDArray[np.int64], metric: str) -> tuple[_Precision | _Recall, int]:
    """What a metric makes of one class's records, which lie in these images, and the metric's area."""
    if metric in _PRECISIONS:
        area, thresholds = _PRECISIONS[metric]
        return _Precision(records, images, area, thresholds), area
    area, limit = _RECALLS[metric]
    return _Recall(records, images, area, limit), area


class _Precision:
    """A class's average precision, from its true positives `[p]` by threshold and falling score."""

    def __init__(self, records: NDArray[np.void], images: NDArray[np.int64], area: int, thresholds: slice) -> None:
        counted = unpack(~records["ignored"], area)[thresholds]
        t, at = np.nonzero(unpack(records["matched"] & ~records["ignored"], area)[thresholds])
        # Nearly every detection counts at all thresholds or at none: those are summed once, not per threshold.
        always = counted.all(axis=0)
        some_t, some_at = np.nonzero(counted & ~always)
        self._summed = np.concatenate([images[always], images[some_at]])
        place, first = some_t * len(records) + some_at, np.count_nonzero(always)
        self._always = np.cumsum(always)[at]
        self._some = first + np.searchsorted(place, np.stack([t * len(records), t * len(records) + at + 1]))
        self._images, self._start = images[at], np.searchsorted(t, t)
        self._opens = np.unique(self._start)
        self._level = 2.0 * (t[-1:] - t)
        self._thresholds = len(counted)

    def __call__(self, weights: NDArray[np.int32], positives: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = _sums(weights, self._summed)
        before, after = self._some
        counted = sums.take(self._always, 1) + sums.take(after, 1) - sums.take(before, 1)
        found = _sums(weights, self._images)
        true = found[:, 1:] - found.take(self._start, 1)
        # From the last: a higher level keeps what stands at one threshold out of the one before.
        best = true / np.maximum(counted, 1) + self._level
        best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1] - self._level
        recall = true / positives[:, None]
        nearest = np.rint(recall * (len(RECALL_THRESHOLDS) - 1)).astype(np.int64)
        reached = nearest + (RECALL_THRESHOLDS.take(nearest) <= recall)
        newly = np.diff(reached, axis=1, prepend=0)
        newly[:, self._opens] = reached[:, self._opens]
        return np.einsum("sp,sp->s", newly, best) / (len(RECALL_THRESHOLDS) * self._thresholds)


class _Recall:
    """A class's average recall: the share of its groundtruth that is found by so many detections."""

    def __init__(self, records: NDArray[np.void], images: NDArray[np.int64], area: int, limit: int) -> None:
        true = unpack(records["matched"] & ~records["ignored"], area).mean(axis=0) * (records["rank"] < limit)
        self._images, self._true = images[true > 0], true[true > 0]

    def __call__(self, weights: NDArray[np.int32], positives: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(weights.take(self._images, 1) @ self._true / positives)


def _sums(weights: NDArray[np.int32], images: NDArray[np.int64]) -> NDArray[np.int32]:
    """`[s, n + 1]` the weights of the images `[n]` before each place."""
    sums = np.zeros((len(weights), len(images) + 1), np.int32)
    np.cumsum(weights.take(images, 1), axis=1, dtype=np.int32, out=sums[:, 1:])
    return sums
