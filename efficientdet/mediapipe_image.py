"""A picture for MediaPipe's ObjectDetector with which it answers what this product's own detector does.

MediaPipe stretches any picture to the network's input, where training kept the aspect ratio; its sampling differs
from training's; and it answers in whole pixels of the picture. All three are met by a picture that is the
network's input already, each of its pixels enlarged to a square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from efficientdet.config import Config
from efficientdet.letterbox_numpy import letterbox

LARGEST = 2560
"""Side of the picture in pixels: boxes are exact to this part of it."""


def mediapipe_image(
    image: NDArray[np.uint8], config: Config, largest: int = LARGEST
) -> tuple[NDArray[np.uint8], np.float32]:
    """What to give to MediaPipe, and how to read its answer.

    Args:
      image: `[h, w, 3]` uint8 RGB.
      config: the model's, as `efficientdet.tflite_detector.read_packed` finds it in the file.
      largest: a smaller number makes boxes coarser and takes less time; scores stay the same.

    Returns:
      The picture `[H * n, W * n, 3]` uint8 RGB of a network with an `[H, W]` input, and the float32 that MediaPipe's
      boxes are divided by to be pixels of `image`.
    """
    canvas, scale = letterbox(image, config.model.input_size, config.model.architecture.mean)
    times = max(1, largest // max(config.model.input_size))
    return np.ascontiguousarray(canvas.repeat(times, axis=0).repeat(times, axis=1)), np.float32(scale * times)
