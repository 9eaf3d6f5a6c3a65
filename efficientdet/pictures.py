"""What the network sees so far: pictures of detections for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.data.input_pipeline import plain_images
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import normalise
from efficientdet.model.postprocess import postprocess
from efficientdet.visualize import draw

PICTURES = 4
SCORE = 0.3


class PictureLog:
    """Draws the same few images of a split each time, so that progress can be seen."""

    def __init__(self, config: Config, label_map: LabelMap, pattern: str | Sequence[str]) -> None:
        self._config, self._label_map = config, label_map
        images = list(plain_images(pattern, config, PICTURES).as_numpy_iterator())
        if not images:
            raise DataError(f"{pattern}: the split holds no images; give one to look at")
        self._images = np.stack(images)
        self._anchors = anchors_for(config).boxes

    def draw(self, model: keras.Model) -> NDArray[np.uint8]:
        """`[n, h, w, 3]`: the images with what the network detects in them."""
        raw = model(normalise(tf.constant(self._images), self._config), training=False)
        boxes, scores, classes, _ = postprocess(
            raw,
            self._anchors,
            len(self._label_map),
            image_size=self._config.model.input_size,
            **self._config.nms.to_dict(),
        )
        drawn = []
        for image, b, s, c in zip(self._images, boxes.numpy(), scores.numpy(), classes.numpy(), strict=True):
            sure = s >= SCORE
            names = [self._label_map[int(i)].name for i in c[sure]]
            drawn.append(np.asarray(draw(image, b[sure], names, s[sure])))
        return np.stack(drawn)
