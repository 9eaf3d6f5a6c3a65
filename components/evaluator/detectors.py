"""Both files of a bundle, ready to detect: the float SavedModel and the int8 TFLite."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE
from efficientdet.data.input_pipeline import decode_image
from efficientdet.detections import Detections
from efficientdet.infer import TFLiteDetector

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]
"""One image: boxes `[n, 4]` yxyx pixels, scores `[n]`, classes `[n]`."""


class BundleDetectors:
    """Runs every file of a bundle that is judged on the same encoded images."""

    def __init__(self, folder: str | Path) -> None:
        saved_model = tf.saved_model.load(str(Path(folder) / SAVED_MODEL_FOLDER))
        self._saved_model = saved_model  # a signature alone does not keep its variables alive
        self._signature = saved_model.signatures["serving_default"]
        # With several threads the suppression orders equal scores by chance, and a verdict must not hang on that.
        self._tflite = TFLiteDetector(Path(folder) / TFLITE_FILE, num_threads=1)
        self._lock = threading.Lock()  # an interpreter serves one thread at a time

    def __call__(self, images: Sequence[bytes]) -> list[dict[str, Found]]:
        """Per encoded image what each of `efficientdet.blessing.VARIANTS` finds in it."""
        both = zip(self._float(images), self._int8(images), strict=True)
        return [{"float": by_float, "int8": by_int8} for by_float, by_int8 in both]

    def _float(self, images: Sequence[bytes]) -> Detections:
        raw = self._signature(tf.constant(images))
        names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
        return Detections(*(raw[name].numpy() for name in names))

    def _int8(self, images: Sequence[bytes]) -> Detections:
        decoded = [decode_image(image).numpy() for image in images]
        with self._lock:
            return self._tflite(decoded)


@lru_cache(maxsize=2)
def detectors(folder: str) -> BundleDetectors:
    """The detectors of a bundle, loaded once per process; a candidate and its baseline stay in memory."""
    return BundleDetectors(folder)
