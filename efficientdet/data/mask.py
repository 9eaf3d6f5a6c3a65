"""COCO segmentations as the pictures that TF Object Detection API records hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from efficientdet.data.image_file import UnusableError
from efficientdet.errors import DataError

MOST_POLYGONS, LONGEST_OUTLINE = 1_000, 1_000_000
"""pycocotools holds every fifth of a pixel of all outlines at once, and does not look whether it got the memory."""


def encode_mask(segmentation: Any, height: int, width: int) -> bytes:
    """A segmentation as PNG: greyscale, `height` x `width`, 1 inside the object and 0 outside.

    Args:
      segmentation: polygons (lists of x, y, x, y ... in pixels) or run lengths (`counts` as a list or as COCO's
        compressed text, and `size`), as COCO gives them.
      height, width: pixels of the image.

    Raises UnusableError, reason `unusable mask`, for anything else; DataError where pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise DataError("masks need pycocotools; pip install pycocotools, or read the data without masks") from error
    try:
        if isinstance(segmentation, dict):
            if [int(side) for side in segmentation["size"]] != [height, width]:
                raise ValueError(f"it is of size {segmentation['size']}, the image of {[height, width]}")
            runs = {"counts": segmentation["counts"], "size": [height, width]}
            if isinstance(segmentation["counts"], str | bytes):
                _check_runs(segmentation["counts"], height * width)
            else:
                counts = np.asarray(segmentation["counts"], np.int64)
                if counts.ndim != 1 or ((counts < 0) | (counts > height * width)).any():
                    raise ValueError("its run lengths do not fit the image")
                if counts.sum() != height * width:
                    raise ValueError("its run lengths do not fill the image")
                runs = mask.frPyObjects({"counts": counts.tolist(), "size": [height, width]}, height, width)
        else:
            polygons = [np.asarray(polygon, np.float64) for polygon in segmentation]
            if len(polygons) > MOST_POLYGONS:
                raise ValueError(f"it has more than {MOST_POLYGONS} polygons")
            if not polygons or any(p.ndim != 1 or p.size < 6 or p.size % 2 for p in polygons):
                raise ValueError("it has no polygon of three points")
            if not all(np.isfinite(p).all() and np.abs(p).max() < 1e5 for p in polygons):
                raise ValueError("its corners are not finite or far outside")
            if sum(_outline(polygon) for polygon in polygons) > LONGEST_OUTLINE:
                raise ValueError(f"its outline is longer than {LONGEST_OUTLINE} pixels")
            runs = mask.merge(mask.frPyObjects([p.tolist() for p in polygons], height, width))
        picture = Image.fromarray(mask.decode(runs).reshape(height, width))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UnusableError("unusable mask", f"the segmentation cannot be used ({error}); it was left out") from error
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _outline(polygon: NDArray[np.float64]) -> float:
    """Its length in pixels, at most."""
    points = polygon.reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, axis=0)).sum())


def _check_runs(counts: str | bytes, pixels: int) -> None:
    """Raises ValueError unless COCO's compressed run lengths fill an image: pycocotools trusts them blindly.

    Each run is a number in groups of five bits, the sixth says that more follow, from the third run on it is the
    difference to the run before the last (cocoapi, common/maskApi.c).
    """
    data = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    position = 0
    while position < len(data):
        value = shift = 0
        while True:
            # pycocotools shifts an int of 32 bits; six groups hold every run of the largest image.
            if position >= len(data) or not 48 <= data[position] < 112 or shift > 25:
                raise ValueError("its run lengths are damaged")
            bits = data[position] - 48
            value |= (bits & 0x1F) << shift
            shift, position = shift + 5, position + 1
            if not bits & 0x20:
                break
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            raise ValueError("its run lengths are negative")
    if sum(runs) != pixels:
        raise ValueError("its run lengths do not fill the image")
