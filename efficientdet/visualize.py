"""Pictures of detections, drawn with Pillow alone."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GOLDEN_RATIO = 0.618033988749895
"""Steps of this fraction around the colour circle keep neighbouring class ids far apart."""

Colour = tuple[int, int, int]


def draw(
    image: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    names: Sequence[str],
    scores: NDArray[np.floating] | None = None,
    classes: NDArray[np.integer] | None = None,
    line_thickness: int | None = None,
) -> Image.Image:
    """A copy of `image` with one labelled box per detection, the strongest on top.

    Args:
      image: `[h, w, 3]` uint8 RGB.
      boxes: `[n, 4]` yxyx pixels of `image`, strongest first.
      names: n class names.
      scores: `[n]` 0..1, shown as a percentage; none for groundtruth.
      classes: `[n]` class ids that choose the colours; without them a colour follows from the name.
      line_thickness: of the boxes in pixels; without it one that suits the size of the image.
    """
    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture)
    short = min(picture.size)
    font = ImageFont.load_default(size=max(10, short // 32))
    width = line_thickness or max(1, round(short / 240))
    for i in reversed(range(len(boxes))):
        key = int(classes[i]) if classes is not None else zlib.crc32(names[i].encode())
        text = names[i] if scores is None else f"{names[i]} {scores[i]:.0%}"
        _draw_box(pen, picture.size, boxes[i], text, colour_of(key), width, font)
    return picture


def colour_of(key: int) -> Colour:
    """The RGB colour, 0..255, of a class id; the same in every picture."""
    hue = key * GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_box(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: NDArray[np.floating],
    text: str,
    colour: Colour,
    width: int,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    limits = np.array([size[1], size[0], size[1], size[0]]) - 1
    ymin, xmin, ymax, xmax = (int(v) for v in np.clip(np.rint(box), 0, limits))
    pen.rectangle((xmin, ymin, max(xmin, xmax), max(ymin, ymax)), outline=colour, width=width)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    label_width, label_height = int(right - left) + 4, int(bottom - top) + 4
    x = max(0, min(xmin, size[0] - label_width))
    y = ymin - label_height if ymin >= label_height else ymin
    pen.rectangle((x, y, x + label_width, y + label_height), fill=colour)
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    pen.text((x + 2 - left, y + 2 - top), text, fill="black" if luminance > 128 else "white", font=font)
