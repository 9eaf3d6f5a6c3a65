"""Small pictures of what was found, to be looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

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
    ymin, xmin = (min(max(edge, 0), limit - 1) for edge, limit in zip(edges[:2], size[::-1], strict=True))
    ymax, xmax = (min(max(edge, 0), limit - 1) for edge, limit in zip(edges[2:], size[::-1], strict=True))
    low = min(xmin, xmax), min(ymin, ymax)
    high = max(xmin, xmax, low[0] + LEAST_SIDE), max(ymin, ymax, low[1] + LEAST_SIDE)
    if colour == OFFENDER:
        pen.rectangle((low[0] - 1, low[1] - 1, high[0] + 1, high[1] + 1), outline=HALO)
        pen.rectangle((*low, *high), outline=colour, width=2)
    else:
        pen.rectangle((*low, *high), outline=colour)
