"""What an annotation file says about one image, before anyone looked at the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BoxAnnotation:
    """One annotated object.

    record: how a person finds it again (`annotation 1038967`, `object 3`). category: the original
    category id (COCO) or class name (VOC, CSV). corners: ymin, xmin, ymax, xmax in pixels, 0-based and
    continuous, or fractions where the image's are `normalised`; None when the file gives no four numbers.
    area: pixels, None when the file has none.
    """

    record: str
    category: object
    corners: tuple[float, float, float, float] | None
    area: float | None = None
    is_crowd: bool = False
    difficult: bool = False


@dataclass(frozen=True)
class ImageAnnotation:
    """One image of an annotation file, with its objects.

    file: the annotation file. record: how a person finds the entry in it. image: the image file,
    relative to the image folder. height, width: pixels as annotated, None when the file has none.
    problem: (reason, sentence) when the entry itself cannot be used, whatever the image holds.
    normalised: the corners are fractions of the image's sides.
    """

    file: str
    record: str
    source_id: str
    image: str
    height: int | None = None
    width: int | None = None
    boxes: Sequence[BoxAnnotation] = ()
    problem: tuple[str, str] | None = None
    normalised: bool = False
