"""What enters the examples: an annotation meets its image file, and the ledger notes what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.boxes import area, clip
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.image_file import ImageFile, UnusableError, read_image
from efficientdet.data.ledger import Finding, Ledger

# Sums such as 612.59 + 27.41 leave the image by rounding alone; such boxes are not booked as clipped.
ROUNDING = 1e-6


def admit(
    annotation: ImageAnnotation, root: str | Path, folder: str, classes: Mapping[object, int]
) -> tuple[AnnotatedImage | None, Ledger]:
    """Reads the image of an annotation and keeps the boxes that are sound.

    Args:
      annotation: the entry of the annotation file.
      root: the data folder, which no file may leave.
      folder: the image folder, relative to `root`.
      classes: contiguous class id from 1 of each original category (id or name).

    Returns:
      The image, or None when it cannot be used, and a ledger of this one image and its boxes. Boxes that
      cross the border are clipped; those of zero area, outside the image, not finite or of an unknown
      category are dropped. An image without any box stays, as a negative.
    """
    ledger = Ledger()
    try:
        image = _open(annotation, root, folder)
    except UnusableError as error:
        finding = Finding(error.reason, annotation.file, annotation.record, str(error))
        ledger.drop_image(finding, boxes=len(annotation.boxes))
        return None, ledger
    ledger.images.kept += 1
    kept = []
    for box in annotation.boxes:
        try:
            kept.append((*_check(box, _corners(box, image, annotation.normalised), image, classes, ledger), box))
        except UnusableError as error:
            record = f"{annotation.record}, {box.record}"
            ledger.drop_box(Finding(error.reason, annotation.file, record, str(error)))
    corners = np.asarray([corners for corners, _, _ in kept], np.float64).reshape(-1, 4)
    annotated = [box.area for _, _, box in kept]
    return AnnotatedImage(
        source_id=annotation.source_id,
        file_name=annotation.image,
        encoded=image.encoded,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        boxes=corners.astype(np.float32),
        classes=np.asarray([class_id for _, class_id, _ in kept], np.int32),
        is_crowd=np.asarray([box.is_crowd for _, _, box in kept], np.bool_),
        area=np.asarray([a or b for a, b in zip(annotated, area(corners), strict=True)], np.float32),
        difficult=np.asarray([box.difficult for _, _, box in kept], np.bool_),
    ), ledger


def _open(annotation: ImageAnnotation, root: str | Path, folder: str) -> ImageFile:
    """The image file, of the size the annotation was made for; raises UnusableError."""
    if annotation.problem:
        raise UnusableError(*annotation.problem)
    image = read_image(root, folder, annotation.image)
    try:
        tf.io.decode_image(image.encoded, channels=3, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        # What training cannot decode must not get there, whatever another decoder makes of it.
        cause = str(error).split(" [Op:")[0].rpartition("}} ")[2]
        raise UnusableError(
            "undecodable image", f"the image file {annotation.image} cannot be decoded ({cause})"
        ) from error
    height, width = annotation.height or image.height, annotation.width or image.width
    if (height, width) != (image.height, image.width):
        raise UnusableError(
            "size mismatch",
            f"the boxes are for an image of {width}x{height} pixels, but {annotation.image} has"
            f" {image.width}x{image.height}; annotate the file that is there",
        )
    return image


def _corners(box: BoxAnnotation, image: ImageFile, normalised: bool) -> NDArray[np.float64] | None:
    """The corners of a box as annotated, in pixels."""
    if box.corners is None:
        return None
    sides = np.asarray([image.height, image.width] * 2 if normalised else 1.0, np.float64)
    return np.asarray(box.corners, np.float64) * sides


def _check(
    box: BoxAnnotation,
    corners: NDArray[np.float64] | None,
    image: ImageFile,
    classes: Mapping[object, int],
    ledger: Ledger,
) -> tuple[tuple[float, ...], int]:
    """Clipped corners (yxyx pixels) and class id of a sound box, booked as kept or clipped; raises UnusableError."""
    if box.category not in classes:
        raise UnusableError("unknown category", f"category {box.category!r} is not in the label map")
    if corners is None:
        raise UnusableError("malformed box", "the box is not given as four numbers")
    shown = f"box (ymin, xmin, ymax, xmax) = ({', '.join(f'{c:g}' for c in corners)})"
    if not np.isfinite(corners).all():
        raise UnusableError("non-finite box", f"{shown} is not finite")
    if (corners[2:] <= corners[:2]).any():
        raise UnusableError("zero-area box", f"{shown} has no area")
    clipped = clip(corners, image.height, image.width)
    if (clipped[2:] <= clipped[:2]).any():
        size = f"{image.width}x{image.height}"
        raise UnusableError("box outside image", f"{shown} lies outside the image of {size} pixels")
    if (clipped[2:].astype(np.float32) <= clipped[:2].astype(np.float32)).any():
        raise UnusableError("zero-area box", f"{shown} has an area below the precision of float32")
    if np.abs(clipped - corners).max() > ROUNDING:
        ledger.boxes.clipped += 1
    else:
        ledger.boxes.kept += 1
    return tuple(clipped), classes[box.category]
