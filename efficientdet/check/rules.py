"""What is odd about an image that was admitted: rules of single images and their boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from efficientdet.anchors import POSITIVE_IOU
from efficientdet.boxes import area, iou
from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.ledger import Finding
from efficientdet.label_map import LabelMap

SAME_BOX = 0.95  # IoU; two people who draw the same object rarely come nearer
WHOLE_IMAGE = 0.99  # of its area
ROWS = 256  # of pairs of boxes at a time


@dataclass(frozen=True)
class Admitted:
    """An image that can be used, as annotated and as admitted.

    records: of each admitted box where a person finds it. learnt `[n]` bool: the boxes to train on, which crowds are
    not. boxes_input `[n, 4]` float64 yxyx pixels of the network input; best_iou `[n]` with its anchors.
    """

    annotation: ImageAnnotation
    image: AnnotatedImage
    records: tuple[str, ...]
    learnt: NDArray[np.bool_]
    boxes_input: NDArray[np.float64]
    best_iou: NDArray[np.float32]

    @classmethod
    def of(
        cls, annotation: ImageAnnotation, image: AnnotatedImage, findings: list[Finding], match: AnchorMatch
    ) -> Admitted:
        """Puts the two together; `findings` are those of `admit`."""
        gone = {finding.record for finding in findings if finding.outcome in ("dropped", "merged")}
        records = [f"{annotation.record}, {box.record}" for box in annotation.boxes]
        boxes_input = image.boxes.astype(np.float64) * match.scale(image.height, image.width)
        kept = tuple(record for record in records if record not in gone)
        return cls(annotation, image, kept, ~image.is_crowd, boxes_input, match.best_iou(boxes_input))

    @property
    def sides(self) -> NDArray[np.float64]:
        """`[n, 2]` height and width of the boxes, pixels of the network input."""
        return self.boxes_input[:, 2:] - self.boxes_input[:, :2]

    @property
    def unmatched(self) -> NDArray[np.bool_]:
        """`[n]` the boxes to train on that no anchor overlaps enough."""
        return self.learnt & (self.best_iou < POSITIVE_IOU)


def odd(admitted: Admitted, labels: LabelMap) -> Iterator[Finding]:
    """What the rules find; nothing of it changes the image."""
    annotation = admitted.annotation
    if not admitted.learnt.any():
        said = "has no box to train on" if len(admitted.records) else "has no box"
        yield Finding("image without boxes", annotation.file, annotation.record, said, "noted", "image")
    boxes = chain(_tiny(admitted), _whole(admitted), _two_classes(admitted, labels), _unmatched(admitted))
    for row, reason, message in boxes:
        yield Finding(reason, annotation.file, admitted.records[row], message, "noted")


Odd = Iterator[tuple[int, str, str]]  # row of a box, reason and sentence


def _tiny(admitted: Admitted) -> Odd:
    for row in np.flatnonzero(admitted.learnt & (admitted.sides < 1).any(axis=1)):
        height, width = admitted.sides[row]
        yield int(row), "tiny box", f"is {width:.2g}x{height:.2g} pixels in the input of the network"


def _whole(admitted: Admitted) -> Odd:
    image = admitted.image
    shares = area(image.boxes) / (image.height * image.width)
    for row in np.flatnonzero(admitted.learnt & (shares >= WHOLE_IMAGE)):
        yield int(row), "box of the whole image", f"covers {shares[row]:.1%} of the image"


def _two_classes(admitted: Admitted, labels: LabelMap) -> Odd:
    """Each box that repeats an earlier one of another class."""
    boxes, classes = admitted.image.boxes.astype(np.float64), admitted.image.classes
    for start in range(0, len(boxes), ROWS):
        rows = slice(start, start + ROWS)
        same = iou(boxes[rows], boxes) >= SAME_BOX
        same &= (classes[rows, None] != classes) & admitted.learnt[rows, None] & admitted.learnt
        same &= np.arange(len(boxes))[rows, None] > np.arange(len(boxes))
        for row in np.flatnonzero(same.any(axis=1)):
            other = int(same[row].argmax())
            name, earlier = (labels[int(classes[i])].name for i in (start + row, other))
            where = admitted.records[other].removeprefix(f"{admitted.annotation.record}, ")
            yield int(start + row), "box of two classes", f"{name!r} here, but {earlier!r} in {where}"


def _unmatched(admitted: Admitted) -> Odd:
    for row in np.flatnonzero(admitted.unmatched):
        height, width = admitted.sides[row]
        size = f"{width:.3g}x{height:.3g} pixels in the input of the network"
        best = np.floor(admitted.best_iou[row] * 100) / 100  # 0.4999 is not 0.50
        yield int(row), "box that no anchor matches", f"{size}; the best anchor has IoU {best:.2f}"
