"""The rules of single images at their limits."""

from __future__ import annotations

import numpy as np
import pytest

from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.check.rules import ROWS, Admitted, odd
from efficientdet.config import Config
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.ledger import Finding
from efficientdet.label_map import LabelMap

MATCH = AnchorMatch(Config())  # 320 x 320


def admitted(
    boxes: list[tuple], classes: list[int] | None = None, crowd: int | None = None, side: int = 640
) -> Admitted:
    """Boxes of an image of `side` pixels; of class 1 unless told otherwise, one of them a crowd."""
    count = len(boxes)
    image = AnnotatedImage(
        source_id="1",
        file_name="1.jpg",
        encoded=b"",
        image_format="jpeg",
        height=side,
        width=side,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes or [1] * count, np.int32),
        is_crowd=np.arange(count) == (-1 if crowd is None else crowd),
        area=np.ones(count, np.float32),
        difficult=np.zeros(count, np.bool_),
    )
    records = [BoxAnnotation(f"annotation {i}", 1, box) for i, box in enumerate(boxes)]
    return Admitted.of(ImageAnnotation("a.json", "image 1", "1", "1.jpg", boxes=records), image, [], MATCH)


def found(image: Admitted) -> list[tuple[str, str]]:
    """(reason, record) of what the rules find."""
    return [(finding.reason, finding.record) for finding in odd(image, LabelMap.from_names(["cat", "dog"]))]


def test_records_of_what_was_dropped_or_merged_are_passed_over() -> None:
    annotation = admitted([(0, 0, 9, 9)] * 4).annotation
    findings = [
        Finding("zero-area box", "a.json", "image 1, annotation 0", "", "dropped"),
        Finding("identical box", "a.json", "image 1, annotation 2", "", "merged"),
        Finding("over the border", "a.json", "image 1, annotation 3", "", "clipped"),
    ]
    image = admitted([(0, 0, 9, 9)] * 2).image
    kept = Admitted.of(annotation, image, findings, MATCH)
    assert kept.records == ("image 1, annotation 1", "image 1, annotation 3")


@pytest.mark.parametrize(
    ("boxes", "crowd", "message"), [([], None, "has no box"), ([(0, 0, 99, 99)], 0, "has no box to train on")]
)
def test_images_without_boxes(boxes, crowd, message) -> None:
    [finding] = odd(admitted(boxes, crowd=crowd), LabelMap.from_names(["cat"]))
    assert (finding.reason, finding.message, finding.of) == ("image without boxes", message, "image")


def test_tiny_boxes_are_measured_in_the_network_input() -> None:
    # 640 pixels become 320.
    image = admitted([(0, 0, 1.98, 64), (100, 100, 102.02, 164)])
    assert ("tiny box", "image 1, annotation 0") in found(image)
    assert ("tiny box", "image 1, annotation 1") not in found(image)


def test_the_whole_image() -> None:
    assert found(admitted([(0, 0, 640, 640)])) == [("box of the whole image", "image 1, annotation 0")]
    assert found(admitted([(0, 0, 640, 630)])) == []


def test_unmatched_boxes_are_those_below_half() -> None:
    image = admitted([(0, 0, 200, 200), (300, 300, 310, 620)])
    assert (image.best_iou >= 0.5).tolist() == [True, False]
    assert found(image) == [("box that no anchor matches", "image 1, annotation 1")]


def test_crowds_are_not_judged() -> None:
    assert found(admitted([(0, 0, 200, 200), (0, 0, 640, 640)], crowd=1)) == []
    assert found(admitted([(0, 0, 200, 200)] * 2, [1, 2], crowd=1)) == []


def test_one_object_of_two_classes() -> None:
    box, near, far = (0, 0, 200, 200), (0, 0, 200, 204), (0, 0, 200, 230)
    said = [("box of two classes", "image 1, annotation 1")]
    assert found(admitted([box, near], [1, 2])) == said
    assert found(admitted([box, near], [1, 1])) == []
    assert found(admitted([box, far], [1, 2])) == []
    [finding] = odd(admitted([box, near], [1, 2]), LabelMap.from_names(["cat", "dog"]))
    assert finding.message == "'dog' here, but 'cat' in annotation 0"


def test_pairs_are_found_across_blocks_of_rows() -> None:
    boxes = [(0.0, i, 100.0, i + 100) for i in range(500)] + [(0.0, 0, 100.0, 100)]
    assert len(boxes) > ROWS
    image = admitted(boxes, [1] * 500 + [2], side=1000)
    rows = [record for reason, record in found(image) if reason == "box of two classes"]
    assert rows == ["image 1, annotation 500"]
