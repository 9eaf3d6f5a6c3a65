"""The pictures inside the page: only those that are shown, made as small as their share of its bytes asks."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from efficientdet.data.image_file import MOST_PIXELS
from efficientdet.report.figure import Figure, Region
from efficientdet.report.study import Study

WHOLE_SIDE, CLOSE_UP_SIDE = 560, 280
"""Pixels of the longer side, where the bytes allow it."""
LEAST_SCALE = 0.2
QUALITY = 76

View = tuple[int, Region]
"""Place of an image in the split, and the part of it that is shown."""


def stored_pictures(pattern: str | Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The source id and encoded image of every example of the shards that match `pattern`, in stored order."""
    from efficientdet.data.input_pipeline import read_examples

    for example in read_examples(pattern).as_numpy_iterator():
        yield example["source_id"].decode(), example["image_bytes"]


def take_pictures(
    study: Study, figures: Iterable[Figure], pictures: Iterable[tuple[str, bytes]], budget: int
) -> dict[View, str]:
    """What the figures show, as JPEG in base64, in all at most `budget` characters.

    `pictures` are (image id, encoded image), read no further than the last that is wanted. A picture that is not
    among them, or that does not decode, is left out.
    """
    wanted = defaultdict(set)
    for figure in figures:
        wanted[study.split.image_ids[figure.image]].add((figure.image, figure.region))
    taken: dict[View, Image.Image] = {}
    for image_id, encoded in pictures if wanted else ():
        views = wanted.pop(image_id, set())
        taken |= _cut(study, encoded, sorted(views))
        if not wanted:
            break
    return _within(taken, budget)


def _cut(study: Study, encoded: bytes, views: Sequence[View]) -> dict[View, Image.Image]:
    """The wanted parts of one image, nothing of one that does not decode."""
    if not views:
        return {}
    try:
        image = Image.open(io.BytesIO(encoded))
        if image.width * image.height > MOST_PIXELS:
            return {}
        picture = _eight_bits(image).convert("RGB")
    except Exception:  # Decoders raise any type on damaged bytes.
        return {}
    taken = {}
    for place, region in views:
        height, width = study.split.sizes[place].tolist()
        x_scale, y_scale = picture.width / max(width, 1), picture.height / max(height, 1)
        corners = (region.x, region.y, region.x + region.width, region.y + region.height)
        box = [round(edge * scale) for edge, scale in zip(corners, (x_scale, y_scale) * 2, strict=True)]
        part = picture.crop((box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)))
        whole = (region.width, region.height) == (width, height)
        part.thumbnail((WHOLE_SIDE, WHOLE_SIDE) if whole else (CLOSE_UP_SIDE, CLOSE_UP_SIDE))
        taken[place, region] = part
    return taken


def _eight_bits(image: Image.Image) -> Image.Image:
    """A greyscale picture of 16 bits by its upper eight, and any other as it is."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I") else image


def _within(pictures: dict[View, Image.Image], budget: int) -> dict[View, str]:
    """The pictures as JPEG, all made smaller alike until they fit; none where even the smallest do not."""
    scale = 1.0
    while pictures and scale >= LEAST_SCALE:
        encoded = {view: _jpeg(picture, scale) for view, picture in pictures.items()}
        size = sum(map(len, encoded.values()))
        if size <= budget:
            return encoded
        scale *= 0.95 * max(math.sqrt(max(budget, 0) / size), 0.5)
    return {}


def _jpeg(picture: Image.Image, scale: float) -> str:
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    stored = io.BytesIO()
    (picture if scale == 1 else picture.resize(size)).save(stored, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(stored.getvalue()).decode()
