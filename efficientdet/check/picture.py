"""Small pictures of what was found, to be looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

from efficientdet.data.image_file import MOST_PIXELS

SIDE = 240
OTHERS, OFFENDER, HALO = (255, 255, 255), (255, 32, 32), (0, 0, 0)
LEAST_SIDE = 4  # pixels; what is smaller is drawn so large

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
    """One or two thumbnails, as JPEG files, and what is said about them."""

    thumbnails: tuple[bytes, ...]
    caption: str


def thumbnail(encoded: bytes, boxes: Sequence[Corners] = (), offenders: Sequence[Corners] = ()) -> bytes | None:
    """The image as a small JPEG, with boxes in white and the offenders in red; None when it does not decode.

    Boxes are yxyx pixels of the image; those that are not finite are left out, others are cut at the border.
    """
    try:
        image = Image.open(io.BytesIO(encoded))
        width, height = image.size
        if width * height > MOST_PIXELS:
            return None
        image.draft("RGB", (SIDE, SIDE))
        image.thumbnail((SIDE, SIDE))
        small = image.convert("RGB")
    except Exception:  # Decoders raise any type on damaged bytes.
        return None
    # Room around it, so that boxes on the border are seen.
    canvas = ImageOps.expand(small, 3, (128, 128, 128))
    pen, scale = ImageDraw.Draw(canvas), (small.width / width, small.height / height)
    for box in boxes:
        _draw(pen, box, scale, canvas.size, OTHERS)
    for offender in offenders:
        _draw(pen, offender, scale, canvas.size, OFFENDER)
    stored = io.BytesIO()
    canvas.save(stored, "JPEG", quality=80)
    return stored.getvalue()


def _draw(
    pen: ImageDraw.ImageDraw,
    box: Corners,
    scale: tuple[float, float],
    size: tuple[int, int],
    colour: tuple[int, int, int],
) -> None:
    try:
        edges = [round(box[i] * scale[1 - i % 2]) + 3 for i in range(4)]
    except (OverflowError, ValueError):
        return
    (low_x, high_x), (low_y, high_y) = (
        _visible(edges[axis], edges[axis + 2], side) for axis, side in ((1, size[0]), (0, size[1]))
    )
    if colour == OFFENDER:
        pen.rectangle((low_x - 1, low_y - 1, high_x + 1, high_y + 1), outline=HALO)
        pen.rectangle((low_x, low_y, high_x, high_y), outline=colour, width=2)
    else:
        pen.rectangle((low_x, low_y, high_x, high_y), outline=colour)


def _visible(one: int, other: int, side: int) -> tuple[int, int]:
    """The ends of an interval in ascending order, moved and widened to be seen on `side` pixels."""
    low = min(max(min(one, other), 0), side - 1 - LEAST_SIDE)
    return low, max(min(max(one, other), side - 1), low + LEAST_SIDE)
