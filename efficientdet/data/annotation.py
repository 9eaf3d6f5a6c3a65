"""What an annotation file says about one image, before anyone looked at the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from efficientdet.data.ledger import Finding

MOST_BOXES = 10_000
"""Objects of one image; what comes after them is dropped, so that one record cannot take all memory."""


class BoxAnnotation(NamedTuple):
    """One annotated object; a tuple, as millions of them are made and sent.

    record: how a person finds it again (`annotation 1038967`, `object 3`). category: the original
    category id (COCO) or class name (VOC, CSV). corners: ymin, xmin, ymax, xmax in pixels, 0-based and
    continuous, or fractions where the image's are `normalised`; None when the file gives no four numbers.
    area: pixels, None when the file has none. segmentation: COCO's own form, polygons or RLE, only where masks
    were asked for.
    """

    record: str
    category: object
    corners: tuple[float, float, float, float] | None
    area: float | None = None
    is_crowd: bool = False
    difficult: bool = False
    segmentation: Any = None


@dataclass(frozen=True)
class ImageAnnotation:
    """One image of an annotation file, with its objects.

    file: the annotation file. record: how a person finds the entry in it. image: the image file,
    relative to the image folder. height, width: pixels as annotated, None when the file has none.
    problem: (reason, sentence) when the entry itself cannot be used, whatever the image holds.
    normalised: the corners are fractions of the image's sides. captions: sentences about the whole image.
    group: what a split by groups keeps together, as a video or a patient. encoded: the bytes of the image,
    where the annotation file itself holds them.
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
    captions: Sequence[str] = ()
    group: str | None = None
    encoded: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Read:
    """How many images and boxes an annotation file lists, counted where it is read: what the ledger must add up to."""

    images: int
    boxes: int


Entry = ImageAnnotation | Finding | Read
"""What a reader yields: every image with its objects, a Finding for each record that belongs to none, and a Read."""


def too_many(file: str, record: str, boxes: Iterable[BoxAnnotation]) -> Iterator[Finding]:
    """The findings of those objects of an image that come after its first MOST_BOXES."""
    for box in boxes:
        message = f"belongs to an image that has {MOST_BOXES} objects before it"
        yield Finding("too many boxes", file, f"{record}, {box.record}", message)
