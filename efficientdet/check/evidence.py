"""Pictures of what is wrong with an image, found again where it lies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from efficientdet.check.duplicates import Twin
from efficientdet.check.picture import Corners, Picture, thumbnail
from efficientdet.check.split import Split
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.image_file import MOST_BYTES, UnusableError, locate
from efficientdet.data.ledger import Finding


def picture_of(
    findings: Sequence[Finding], split: Split, annotation: ImageAnnotation, image: AnnotatedImage | None
) -> Picture:
    """An image with the boxes that findings of one problem are about; without a thumbnail where there is no image."""
    encoded = image.encoded if image is not None else _encoded(split, annotation)
    sides = (image.height, image.width) if image is not None else (annotation.height or 1, annotation.width or 1)
    boxes, offenders = _corners(annotation, {finding.record for finding in findings}, sides)
    jpeg = thumbnail(encoded, boxes, offenders) if encoded else None
    more = f" (and {len(findings) - 1} more in this image)" if len(findings) > 1 else ""
    return Picture((jpeg,) if jpeg else (), f"{findings[0].record}: {findings[0].message}{more}")


def picture_of_twins(finding: Finding, image: AnnotatedImage, twin: Twin) -> Picture:
    """An image beside its twin, if that has a file of its own."""
    shown = [thumbnail(image.encoded)]
    with suppress(OSError):
        shown.append(thumbnail(Path(twin.path).read_bytes()) if twin.path else None)
    return Picture(tuple(jpeg for jpeg in shown if jpeg), f"{finding.record}: {finding.message}")


def _encoded(split: Split, annotation: ImageAnnotation) -> bytes | None:
    """The bytes of an image that was not admitted, if there are any."""
    if annotation.encoded or split.root is None:
        return annotation.encoded
    with suppress(UnusableError, OSError, ValueError):
        path = locate(split.root, split.folder, annotation.image)
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            return path.read_bytes()
    return None


def _corners(
    annotation: ImageAnnotation, records: Collection[str], sides: tuple[int, int]
) -> tuple[list[Corners], list[Corners]]:
    """The boxes of an image of some height and width, in pixels: those of other records, and those of `records`."""
    scale = sides if annotation.normalised else (1, 1)
    others: list[Corners] = []
    meant: list[Corners] = []
    for box in annotation.boxes:
        if box.corners is not None:
            ymin, xmin, ymax, xmax = box.corners
            corners = (ymin * scale[0], xmin * scale[1], ymax * scale[0], xmax * scale[1])
            (meant if f"{annotation.record}, {box.record}" in records else others).append(corners)
    return others, meant
