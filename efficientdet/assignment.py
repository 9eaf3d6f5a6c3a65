"""Which detection found which object at IoU 0.5, as COCO decides it, and what else lies near."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.coco_metric import MAX_DETECTIONS
from efficientdet.scored_split import Detected, ScoredSplit

MATCH_IOU = 0.5
NEAR_IOU = 0.1
"""What overlaps less is background, as TIDE has it."""
NOBODY = -1


class Overlaps(NamedTuple):
    """The p pairs of a detection and an annotation that overlap by NEAR_IOU or more, of any classes.

    detection `[p]`, truth `[p]` rows of the split's columns, iou `[p]` (of a crowd: over the detection's own area).
    """

    detection: NDArray[np.int64]
    truth: NDArray[np.int64]
    iou: NDArray[np.float64]


class Assignment(NamedTuple):
    """What became of the d detections of one contender.

    truth `[d]` row of the object that it found, NOBODY for none. ignored `[d]` bool: neither right nor wrong, since it
    lies on a crowd or beyond the hundred best of its class in an image.
    """

    truth: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    overlaps: Overlaps

    @property
    def true(self) -> NDArray[np.bool_]:
        """`[d]` whether it found an object."""
        return self.truth != NOBODY

    @property
    def false(self) -> NDArray[np.bool_]:
        """`[d]` whether it counts and found none."""
        return ~self.true & ~self.ignored


def assign(split: ScoredSplit, contender: str) -> Assignment:
    """Gives the objects of each image and class to the detections in order of score; crowds may be taken again."""
    detected, truths = split.contenders[contender], split.truths
    overlaps = _overlaps(split, detected)
    ignored = _beyond_limit(detected)
    d, g, iou = overlaps
    able = (iou >= MATCH_IOU) & (detected.classes[d] == truths.classes[g]) & ~ignored[d]
    d, g, iou = d[able], g[able], iou[able]
    # Of an image's detections the best chooses first: an object before a crowd, by overlap, the last of equals.
    order = np.lexsort((-g, -iou, truths.is_crowd[g], d))
    truth = np.full(len(detected.scores), NOBODY)
    taken: set[int] = set()
    for i, j, crowd in zip(d[order].tolist(), g[order].tolist(), truths.is_crowd[g[order]].tolist(), strict=True):
        if truth[i] != NOBODY:
            continue
        if crowd:
            ignored[i] = True
        elif j not in taken:
            truth[i] = j
            taken.add(j)
    return Assignment(truth, ignored, overlaps)


def _overlaps(split: ScoredSplit, detected: Detected) -> Overlaps:
    boxes, others, is_crowd = detected.boxes_xywh, split.truths.boxes_xywh, split.truths.is_crowd
    d_starts, g_starts = split.starts(detected.image).tolist(), split.starts(split.truths.image).tolist()
    parts = [Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for i in range(len(split)):
        own, theirs = slice(*d_starts[i : i + 2]), slice(*g_starts[i : i + 2])
        iou = iou_xywh(boxes[own], others[theirs], is_crowd[theirs])
        d, g = np.nonzero(iou >= NEAR_IOU)
        parts.append(Overlaps(d + own.start, g + theirs.start, iou[d, g]))
    return Overlaps(*map(np.concatenate, zip(*parts, strict=True)))


def iou_xywh(
    boxes: NDArray[np.float64], others: NDArray[np.float64], is_crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`[d, g]` overlap of boxes `[d, 4]` and `[g, 4]` x, y, width, height; over the first's area for a crowd `[g]`."""
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's boxes overlap nothing
        low = np.maximum(boxes[:, None, :2], others[None, :, :2])
        high = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:])
        sides = high - low
        shared = sides[..., 0] * sides[..., 1]
        own = (boxes[:, 2] * boxes[:, 3])[:, None]
        union = np.where(is_crowd, own, own + others[:, 2] * others[:, 3] - shared)
        return np.divide(shared, union, out=np.zeros_like(shared), where=(sides > 0).all(axis=-1))


def _beyond_limit(detected: Detected) -> NDArray[np.bool_]:
    """`[d]` whether so many of its class stand before it in its image that COCO does not count it."""
    order = np.lexsort((detected.classes, detected.image))
    image, classes = detected.image[order], detected.classes[order]
    first = np.ones(len(order), bool)
    first[1:] = (image[1:] != image[:-1]) | (classes[1:] != classes[:-1])
    places = np.arange(len(order))
    beyond = np.empty(len(order), bool)
    beyond[order] = places - np.maximum.accumulate(np.where(first, places, 0)) >= MAX_DETECTIONS
    return beyond
