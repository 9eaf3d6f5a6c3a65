"""What records are called, so that what is said of one is not taken for another."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import replace

from efficientdet.data.annotation import ImageAnnotation

AGAIN = " (again)"


def with_unique_records(annotation: ImageAnnotation) -> ImageAnnotation:
    """The same with another name for each box that is called as an earlier one of the image."""
    seen: Counter[str] = Counter()
    boxes = []
    for box in annotation.boxes:
        boxes.append(box._replace(record=box.record + AGAIN * seen[box.record]))
        seen[box.record] += 1
    return replace(annotation, boxes=boxes) if len(seen) < len(boxes) else annotation


def plain_name(name: str) -> str:
    """The name of an image file without detours such as `./`."""
    return posixpath.normpath(name) if name else ""
