"""COCO's uncompressed run lengths of a mask, which need no library of COCO's to be written or read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from efficientdet.data.image_file import UnusableError


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's `segmentation` of a mask `[h, w]`: lengths of runs down the columns, the first one outside of it."""
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1] if flat.size else False))
    counts = np.diff(borders, prepend=0)
    return {"counts": counts.tolist(), "size": list(mask.shape)}


def png_mask(encoded: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The mask `[height, width]` in a PNG, true where it is not black.

    Raises UnusableError, reason `unusable mask`, when it does not decode or has another size.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=["PNG"])
        if image.size == (width, height):
            return np.asarray(image.convert("L")) > 0
    except Exception as error:  # Decoders raise any type on damaged bytes.
        raise UnusableError("unusable mask", f"the mask cannot be decoded ({error})") from error
    raise UnusableError("unusable mask", f"the mask has {image.width}x{image.height} pixels, not {width}x{height}")
