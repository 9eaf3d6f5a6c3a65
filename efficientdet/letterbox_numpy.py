"""The letterbox of `efficientdet.letterbox`, computed by numpy for clients without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def letterbox(
    image: NDArray[np.uint8], size: tuple[int, int], pad: Sequence[float]
) -> tuple[NDArray[np.uint8], np.float32]:
    """Fits one image into the network input, keeping its aspect ratio.

    Args:
      image: `[h, w, 3]` uint8.
      size: (height, width) of the network input.
      pad: the colour, 0..255 per channel, of what the image does not cover.

    Returns:
      The image `[H, W, 3]` uint8, resized bilinearly without antialiasing (half-pixel centres) and placed
      top-left, and the float32 that multiplies original coordinates into network coordinates.
    """
    # float32 throughout: the inner size is cut to whole pixels, where float64 can differ by one
    original = np.asarray(image.shape[:2], np.float32)
    scale = np.min(np.asarray(size, np.float32) / original)
    height, width = np.maximum((original * scale).astype(np.int32), 1)
    canvas = np.empty((*size, 3), np.uint8)
    canvas[:] = np.rint(np.asarray(pad, np.float32)).astype(np.uint8)
    canvas[:height, :width] = _resize(image, int(height), int(width))
    return canvas, scale


def _resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, bottom, dy = _samples(image.shape[0], height)
    left, right, dx = _samples(image.shape[1], width)
    upper, lower = image[top], image[bottom]
    dx = dx[None, :, None]
    above = upper[:, left] * (1 - dx) + upper[:, right] * dx
    below = lower[:, left] * (1 - dx) + lower[:, right] * dx
    dy = dy[:, None, None]
    return np.asarray(np.rint(above * (1 - dy) + below * dy).astype(np.uint8))


def _samples(length: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Per target position the two source positions around it and the weight of the second."""
    centres = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * np.float32(length / target) - np.float32(0.5)
    floor = np.floor(centres)
    low = np.clip(floor, 0, length - 1).astype(np.int64)
    high = np.clip(floor + 1, 0, length - 1).astype(np.int64)
    return low, high, centres - floor
