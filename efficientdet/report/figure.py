"""A picture to be looked at: a part of an image, with what is in it and what was detected drawn over it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.report.study import Contender, Study

MARGIN = 0.6
"""Around what a close-up is about, as a part of its larger side."""
LEAST_SIDE = 96
"""Pixels that a close-up shows at least of each side, where the image has them."""

FOUND, MISSED, CROWD, TRUE, FALSE, CONTEXT = "found", "missed", "crowd", "true", "false", "context"
Box = tuple[float, float, float, float]
"""x, y, width and height in pixels of the image."""


class Region(NamedTuple):
    """A part of an image, whole pixels."""

    x: int
    y: int
    width: int
    height: int


class Mark(NamedTuple):
    """A box drawn in a figure: of an annotation FOUND, MISSED, CROWD or CONTEXT, of a detection TRUE or FALSE.

    CONTEXT is an annotation that the figure is not about. The label stands beside the box if it is `labelled`, and
    there is room; it always shows under the pointer.
    """

    box: Box
    kind: str
    label: str
    labelled: bool = False


@dataclass(frozen=True)
class Figure:
    """image: place in the split. region: of the image. marks: the last on top. caption: plain sentences."""

    image: int
    region: Region
    marks: tuple[Mark, ...]
    caption: tuple[str, ...]


def figure(study: Study, image: int, region: Region, marks: Iterable[Mark], caption: Iterable[str]) -> Figure:
    """A figure with the marks that are to be seen in it, the uppermost if there are more than a figure shows."""
    seen = [mark for mark in marks if _meets(mark.box, region)]
    return Figure(image, region, tuple(seen[max(len(seen) - study.limits.marks, 0) :]), tuple(caption))


def _meets(box: Box, region: Region) -> bool:
    """Whether the two share a point; never so for a box that is not finite."""
    x, y, width, height = box
    inside = x <= region.x + region.width and y <= region.y + region.height and np.isfinite(box).all()
    return bool(inside and x + width >= region.x and y + height >= region.y)


def whole(study: Study, image: int) -> Region:
    """All of an image."""
    height, width = study.split.sizes[image].tolist()
    return Region(0, 0, max(width, 1), max(height, 1))


def close_up(study: Study, image: int, boxes: Iterable[NDArray[np.float64]]) -> Region:
    """The part of an image that shows boxes `[4]` x, y, width, height with something around them."""
    _, _, width, height = whole(study, image)
    corners = np.nan_to_num([(x, y, x + w, y + h) for x, y, w, h in boxes]).clip(0, (width, height, width, height))
    (low_x, low_y), (high_x, high_y) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = max((1 + 2 * MARGIN) * max(high_x - low_x, high_y - low_y), LEAST_SIDE)
    x, w = _stretch(float(low_x + high_x) / 2, side, width)
    y, h = _stretch(float(low_y + high_y) / 2, side, height)
    return Region(x, y, w, h)


def _stretch(centre: float, side: float, most: int) -> tuple[int, int]:
    """Where an interval of `side` around `centre` begins if it is moved into 0..most, and its length."""
    length = min(round(side), most)
    return min(max(round(centre - length / 2), 0), most - length), length


def annotation_marks(study: Study, contender: Contender, image: int) -> list[Mark]:
    """The annotations of an image; the missed objects have their label beside them, and come last."""
    truths = study.split.truths
    marks = [annotation_mark(study, contender, row) for row in _rows(truths.image, image)]
    return sorted(marks, key=lambda mark: (mark.kind == MISSED, -mark.box[2] * mark.box[3]))


def annotation_mark(study: Study, contender: Contender, row: int) -> Mark:
    """One annotation."""
    truths = study.split.truths
    kind = CROWD if truths.is_crowd[row] else FOUND if contender.found[row] else MISSED
    return Mark(_box(truths.boxes_xywh[row]), kind, study.name(int(truths.classes[row])), kind == MISSED)


def context_marks(study: Study, image: int, besides: Collection[int] = ()) -> list[Mark]:
    """The annotations of an image `besides` some rows, as CONTEXT."""
    truths = study.split.truths
    rows = (row for row in _rows(truths.image, image) if row not in besides)
    return [Mark(_box(truths.boxes_xywh[row]), CONTEXT, study.name(int(truths.classes[row]))) for row in rows]


def detection_marks(study: Study, contender: Contender, image: int) -> list[Mark]:
    """The believed detections of an image; the false ones have their label beside them."""
    rows = [row for row in _rows(contender.detected.image, image) if contender.kept[row]]
    marks = [detection_mark(study, contender, row) for row in reversed(rows)]
    return sorted(marks, key=lambda mark: mark.kind == FALSE)


def detection_mark(study: Study, contender: Contender, row: int) -> Mark:
    """One detection, with its score."""
    detected, false = contender.detected, bool(contender.false[row])
    label = f"{study.name(int(detected.classes[row]))} {detected.scores[row]:.2f}"
    return Mark(_box(detected.boxes_xywh[row]), FALSE if false else TRUE, label, false)


def _rows(column: NDArray[np.int32], image: int) -> range:
    return range(*np.searchsorted(column, (image, image + 1)).tolist())


def _box(box: NDArray[np.float64]) -> Box:
    x, y, width, height = box.tolist()
    return x, y, width, height
