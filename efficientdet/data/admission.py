"""What enters the examples: an annotation meets its image file, and the ledger notes what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from operator import mul, sub
from pathlib import Path

import numpy as np

from efficientdet.boxes import area
from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.image_file import ImageFile, UnusableError, open_image, read_image
from efficientdet.data.ledger import Count, Finding, Ledger
from efficientdet.data.mask import encode_mask

_SMALLEST_AREA, _LARGEST_AREA = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
# Sums such as 612.59 + 27.41 leave the image by rounding alone; such boxes are not booked as clipped.
ROUNDING = 1e-6
MOST_MASK_BYTES = 1 << 28
"""Of all objects of an image; with the image itself this is a quarter of what one record can hold."""


def admit(
    annotation: ImageAnnotation, root: str | Path, folder: str, classes: Mapping[object, int], masks: bool = False
) -> tuple[AnnotatedImage | None, Ledger]:
    """Reads the image of an annotation and keeps the boxes that are sound.

    Args:
      annotation: the entry of the annotation file.
      root: the data folder, which no file may leave.
      folder: the image folder, relative to `root`.
      classes: contiguous class id from 1 of each original category (id or name).
      masks: whether segmentations become masks.

    Returns:
      The image, or None when it cannot be used, and a ledger of this one image and its boxes, with every finding.
      Boxes that cross the border are clipped; those of zero area, outside the image, not finite or of an unknown
      category are dropped; of boxes that are the same in corners, category and flags the first is kept, the others
      are merged into it. An image without any box stays, as a negative.
    """
    ledger = Ledger()
    try:
        image = _open(annotation, root, folder)
    except UnusableError as error:
        _drop_image(annotation, error, ledger)
        return None, ledger
    ledger.images.kept += 1
    for reason, message in image.notes:
        ledger.book(Finding(reason, annotation.file, annotation.record, message, "noted", "image"))
    kept: dict[tuple[object, ...], BoxAnnotation] = {}
    for box in annotation.boxes:
        try:
            class_id = _class_id(box, classes)
            corners, finding = _fit(box, annotation, image)
        except UnusableError as error:
            ledger.book(_finding(annotation, box, error.reason, str(error)))
            continue
        same = (*corners, class_id, box.is_crowd, box.difficult)
        if same in kept:
            message = f"is the same as {kept[same].record}"
            ledger.book(_finding(annotation, box, "identical box", message, outcome="merged"))
        elif finding:
            ledger.book(finding)
        else:
            ledger.boxes.kept += 1
        kept.setdefault(same, box)
    return _annotated(annotation, image, kept, masks, ledger), ledger


def admit_all(
    entries: Iterable[Entry], root: str | Path, folder: str, classes: Mapping[object, int], masks: bool = False
) -> Iterator[tuple[AnnotatedImage | None, Ledger]]:
    """What becomes of each entry of a reader: its image if it is one that can be used, and the account of the entry."""
    for entry in entries:
        if isinstance(entry, ImageAnnotation):
            yield admit(entry, root, folder, classes, masks)
        else:
            yield None, account(entry)


def account(entry: Finding | Read) -> Ledger:
    """The ledger of what a reader says besides images."""
    if isinstance(entry, Read):
        return Ledger(Count(read=entry.images), Count(read=entry.boxes))
    ledger = Ledger()
    ledger.book(entry)
    return ledger


def _annotated(
    annotation: ImageAnnotation,
    image: ImageFile,
    kept: Mapping[tuple[object, ...], BoxAnnotation],
    masks: bool,
    ledger: Ledger,
) -> AnnotatedImage:
    """The image with those boxes; a key of `kept` begins with the corners and the class id."""
    corners = np.asarray([key[:4] for key in kept], np.float64).reshape(-1, 4)
    pictures: list[bytes] = []
    for box in kept.values() if masks else ():
        try:
            if sum(map(len, pictures)) > MOST_MASK_BYTES:
                raise UnusableError("unusable mask", f"the masks of the image have more than {MOST_MASK_BYTES} bytes")
            drawn = box.segmentation is not None
            pictures.append(encode_mask(box.segmentation, image.height, image.width) if drawn else b"")
        except UnusableError as error:
            pictures.append(b"")
            ledger.book(_finding(annotation, box, error.reason, str(error), outcome="noted"))
    return AnnotatedImage(
        source_id=annotation.source_id,
        file_name=annotation.image,
        encoded=image.encoded,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        boxes=corners.astype(np.float32),
        classes=np.asarray([key[4] for key in kept], np.int32),
        is_crowd=np.asarray([box.is_crowd for box in kept.values()], np.bool_),
        area=np.asarray([_area(b, size) for b, size in zip(kept.values(), area(corners), strict=True)], np.float32),
        difficult=np.asarray([box.difficult for box in kept.values()], np.bool_),
        masks=tuple(pictures),
        captions=tuple(annotation.captions),
        group=annotation.group,
    )


def _area(box: BoxAnnotation, size: float) -> float:
    """The annotated area (pixels), or that of the box where the file has none that float32 can hold."""
    return box.area if box.area and _SMALLEST_AREA <= box.area <= _LARGEST_AREA else size


def _drop_image(annotation: ImageAnnotation, error: UnusableError, ledger: Ledger) -> None:
    """Books an image as dropped, and each of its boxes for the same reason."""
    ledger.book(Finding(error.reason, annotation.file, annotation.record, str(error), of="image"))
    for box in annotation.boxes:
        ledger.book(_finding(annotation, box, error.reason, "belongs to an image that cannot be used"))


def _finding(annotation: ImageAnnotation, box: BoxAnnotation, reason: str, message: str, **more: object) -> Finding:
    record = f"{annotation.record}, {box.record}"
    return Finding(reason, annotation.file, record, message, **more)  # type: ignore[arg-type]


def _open(annotation: ImageAnnotation, root: str | Path, folder: str) -> ImageFile:
    """The image file, of the size the annotation was made for; raises UnusableError.

    Boxes are meant for the pixels as stored. Where EXIF says that a viewer turns the image, and the annotated size is
    the turned one, they were drawn in such a viewer: then the image is turned.
    """
    if annotation.problem:
        raise UnusableError(*annotation.problem)
    if annotation.encoded is not None:
        image = open_image(annotation.encoded, "the image in the record")
    else:
        image = read_image(root, folder, annotation.image)
    stored, height, width = (image.height, image.width), annotation.height, annotation.width
    annotated = (height or image.height, width or image.width)
    if annotated == stored:
        return image if image.orientation == 1 else image.as_stored()
    if height and width and annotated == image.displayed_size:
        return image.upright()
    raise UnusableError(
        "size mismatch",
        f"the boxes are for an image of {annotated[1]}x{annotated[0]} pixels, but {annotation.image} has"
        f" {image.width}x{image.height}; annotate the file that is there",
    )


def _class_id(box: BoxAnnotation, classes: Mapping[object, int]) -> int:
    if box.category not in classes:
        raise UnusableError("unknown category", f"category {box.category!r} is not in the label map")
    return classes[box.category]


def _fit(box: BoxAnnotation, annotation: ImageAnnotation, image: ImageFile) -> tuple[tuple[float, ...], Finding | None]:
    """The corners (yxyx pixels) inside the image, and the finding of a clipped box; raises UnusableError."""
    if box.corners is None:
        raise UnusableError("malformed box", "the box is not given as four numbers")
    # Plain numbers: an image has a handful of boxes, for which arrays are the slower way.
    height, width = (image.height, image.width) if annotation.normalised else (1, 1)
    ymin, xmin, ymax, xmax = corners = tuple(map(mul, box.corners, (height, width, height, width)))
    if ymin >= 0 and xmin >= 0 and ymax <= image.height and xmax <= image.width and not _is_thin(corners):
        return corners, None
    if not all(map(isfinite, corners)):
        raise UnusableError("non-finite box", f"{_shown(corners)} is not finite")
    if ymax <= ymin or xmax <= xmin:
        raise UnusableError("zero-area box", f"{_shown(corners)} has no area")
    clipped = top, left, bottom, right = (
        max(ymin, 0.0),
        max(xmin, 0.0),
        min(ymax, float(image.height)),
        min(xmax, float(image.width)),
    )
    size = f"{image.width}x{image.height} pixels"
    if bottom <= top or right <= left:
        raise UnusableError("box outside image", f"{_shown(corners)} lies outside the image of {size}")
    if _is_thin(clipped) and not (np.float32(bottom) - np.float32(top)) * (np.float32(right) - np.float32(left)) > 0:
        raise UnusableError("zero-area box", f"{_shown(corners)} has an area below the precision of float32")
    if max(map(abs, map(sub, clipped, corners))) <= ROUNDING:
        return clipped, None
    # Halved, so that the sides of huge boxes do not overflow.
    left_over = (bottom - top) / (ymax / 2 - ymin / 2) / 2 * ((right - left) / (xmax / 2 - xmin / 2) / 2)
    message = f"{_shown(corners)} crosses the border of {size}; {left_over:.1%} of it is left"
    return clipped, _finding(annotation, box, "over the border", message, outcome="clipped", kept=left_over)


def _is_thin(corners: tuple[float, ...]) -> bool:
    """Whether its area may be none in float32, which below 100,000 pixels tells sides of a hundredth apart."""
    ymin, xmin, ymax, xmax = corners
    return not (ymax - ymin >= 0.01 and xmax - xmin >= 0.01 and ymax <= 1e5 and xmax <= 1e5)


def _shown(corners: Iterable[float]) -> str:
    return f"box (ymin, xmin, ymax, xmax) = ({', '.join(f'{c:g}' for c in corners)})"
