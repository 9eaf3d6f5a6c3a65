"""Every file of a bundle that ships, verified and ready to detect on all cores."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import MANIFEST_FILE, variants, verify_manifest
from efficientdet.data.input_pipeline import decode_image
from efficientdet.detections import Detections
from efficientdet.errors import ModelError
from efficientdet.scored_image import Found
from efficientdet.tflite_detector import TFLiteDetector

BATCH = 8
"""Images that pass the SavedModel together. Always as many: the last bit of a result may depend on their number."""

Detect = Callable[[Sequence[bytes]], list[Found]]
"""From encoded images of any sizes to what is found in each."""


class Answers(NamedTuple):
    """What one file found in each of several images, and the seconds that it took with their decoding."""

    found: list[Found]
    seconds: float


class BundleDetectors:
    """Runs every file of `efficientdet.bundle.variants` on the same encoded images.

    What is opened is a copy of the bundle that nobody else writes to, found equal to its manifest byte for byte.

    Args:
      folder: the bundle.
      manifest: what `manifest_sha256` said when the evaluation began; None to take any.

    Raises ModelError when a file differs from the manifest, or the manifest from the one of the beginning.
    """

    def __init__(self, folder: str | Path, manifest: str | None = None) -> None:
        self._copy = TemporaryDirectory()  # as long as the detectors live: LiteRT maps its file
        copied = shutil.copytree(folder, Path(self._copy.name) / "bundle")
        if manifest not in (None, manifest_sha256(copied)):
            raise ModelError(f"{folder}: has changed since its evaluation began; evaluate it again")
        verify_manifest(copied)
        pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tflite")
        self._files: dict[str, Detect] = {
            name: _TFLite(path, pool) if path.is_file() else _SavedModel(path)
            for name, path in variants(copied).items()
        }
        blank = tf.io.encode_png(tf.zeros([64, 64, 3], tf.uint8)).numpy()
        for detect in self._files.values():
            detect([blank])  # the first call of a file prepares it, which is no part of its speed

    def __call__(self, images: Sequence[bytes]) -> dict[str, Answers]:
        """The answers of every file, one after the other, by variant."""
        return {name: _timed(detect, images) for name, detect in self._files.items()}


@lru_cache(maxsize=8)
def _load(folder: str, manifest: str) -> BundleDetectors:
    return BundleDetectors(folder, manifest)


_LOADING = threading.Lock()


def detectors(folder: str, manifest: str) -> BundleDetectors:
    """The detectors of a bundle, loaded once per process, whichever of its threads is first."""
    with _LOADING:
        return _load(folder, manifest)


def release_detectors() -> None:
    """Forgets every bundle that this process has loaded."""
    _load.cache_clear()


def manifest_sha256(folder: str | Path) -> str:
    """Of the manifest, which holds that of every file: it changes when any of them does."""
    try:
        return hashlib.sha256((Path(folder) / MANIFEST_FILE).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"{folder}: there is no {MANIFEST_FILE}, so it is no bundle; export the model again"
        ) from error


class _SavedModel:
    """The float SavedModel, which decodes by itself and spreads a batch over the cores."""

    def __init__(self, folder: Path) -> None:
        self._model = tf.saved_model.load(str(folder))  # a signature alone does not keep its variables alive
        self._signature = self._model.signatures["serving_default"]

    def __call__(self, images: Sequence[bytes]) -> list[Found]:
        return [found for i in range(0, len(images), BATCH) for found in self._batch(images[i : i + BATCH])]

    def _batch(self, images: Sequence[bytes]) -> list[Found]:
        raw = self._signature(tf.constant([*images, *[images[-1]] * (BATCH - len(images))]))
        names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
        return _found(Detections(*(raw[name].numpy() for name in names)))[: len(images)]


class _TFLite:
    """A TFLite file in LiteRT, one image per core.

    Each interpreter has one thread: with more, the suppression orders equal scores by chance, and a verdict must not
    hang on that.
    """

    def __init__(self, path: Path, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._idle: SimpleQueue[TFLiteDetector] = SimpleQueue()
        for _ in range(os.cpu_count() or 1):
            self._idle.put(TFLiteDetector(path, num_threads=1))

    def __call__(self, images: Sequence[bytes]) -> list[Found]:
        return list(self._pool.map(self._one, images))

    def _one(self, image: bytes) -> Found:
        decoded = decode_image(image).numpy()
        detector = self._idle.get()
        try:
            [found] = _found(detector([decoded]))
        finally:
            self._idle.put(detector)
        return found


def _found(detections: Detections) -> list[Found]:
    return [
        Found(yxyx_to_xywh(boxes.astype(np.float64)), classes.astype(np.int32), scores.astype(np.float64))
        for boxes, scores, classes in detections
    ]


def _timed(detect: Detect, images: Sequence[bytes]) -> Answers:
    start = time.perf_counter()
    return Answers(detect(images), time.perf_counter() - start)
