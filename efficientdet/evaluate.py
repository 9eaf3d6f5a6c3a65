"""The verb `evaluate`: what detectors find in a whole split of examples, and COCO's numbers of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import CocoAccumulator, CocoScores, Groundtruth, match_image
from efficientdet.config import Config
from efficientdet.data.coco_groundtruth import CocoGroundtruth
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.detections import Found as InPixels
from efficientdet.detector_file import Detector, keras_detector
from efficientdet.errors import DataError, reason
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import Found, ScoredImage

AHEAD = 2  # batches in detectors at a time: one is decoded or matched while the other is in the network

Example = Mapping[str, Any]
"""One of `data.example.parse_example`, as numpy has it."""
Batch = tuple[Sequence[Example], Mapping[str, Sequence[InPixels]]]
"""Examples, and by detector what it finds in each of them."""


def detect_examples(
    detectors: Mapping[str, Detector],
    pattern: str | Sequence[str],
    groundtruth: CocoGroundtruth | None = None,
    batch: int = 0,
) -> Iterator[ScoredImage]:
    """Every example of the shards, in stored order, with what each detector finds in it under the detector's name.

    Args:
      detectors: each is given the same encoded images, those of the last partial batch included.
      pattern: file patterns of example shards.
      groundtruth: to take instead of the examples'.
      batch: images at a time; 0: as many as the detectors like.

    Raises DataError naming an image that cannot be decoded, or that `groundtruth` lacks.
    """
    size = batch or max(detector.batch for detector in detectors.values())
    examples = read_examples(pattern).prefetch(AHEAD * size).as_numpy_iterator()
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[Future[Batch]] = deque()
        while some := list(islice(examples, size)):
            waiting.append(pool.submit(_detect, detectors, some))
            if len(waiting) > AHEAD:
                yield from _scored(*waiting.popleft().result(), groundtruth)
        while waiting:
            yield from _scored(*waiting.popleft().result(), groundtruth)


class Evaluation:
    """Scores a network on every image of a split, as often as it is called.

    Args:
      model: a network of `build_detector`.
      config: its config.
      label_map: its classes.
      pattern: file patterns of example shards.
    """

    def __init__(self, model: keras.Model, config: Config, label_map: LabelMap, pattern: str | Sequence[str]) -> None:
        self._detector, self._pattern = keras_detector(model, config, label_map), pattern

    def __call__(self, between: Callable[[], None] = lambda: None) -> CocoScores:
        """The scores of the network's weights as they are now; boxes are compared in pixels of the original.

        `between` is called after every image, and ends the evaluation by raising.
        """
        accumulator = CocoAccumulator()
        # Beside a training there may be no memory for more images than one batch.
        for image in detect_examples({"": self._detector}, self._pattern, batch=self._detector.batch // AHEAD):
            accumulator.add(match_image(*image.scene("")))
            between()
        return accumulator.compute()


def _detect(detectors: Mapping[str, Detector], examples: Sequence[Example]) -> Batch:
    encoded = [example["image_bytes"] for example in examples]
    try:
        return examples, {name: list(detector(encoded)) for name, detector in detectors.items()}
    except tf.errors.InvalidArgumentError:
        for example in examples:
            _check_image(example)
        raise


def _scored(
    examples: Sequence[Example], found: Mapping[str, Sequence[InPixels]], groundtruth: CocoGroundtruth | None
) -> Iterator[ScoredImage]:
    for i, example in enumerate(examples):
        image_id = example["source_id"].decode()
        truth = _groundtruth(example) if groundtruth is None else groundtruth[image_id]
        by_name = {name: _to_xywh(*images[i]) for name, images in found.items()}
        yield ScoredImage(image_id, int(example["height"]), int(example["width"]), truth, by_name)


def _groundtruth(example: Example) -> Groundtruth:
    boxes_xywh = yxyx_to_xywh(example["boxes"].astype(np.float64))
    columns = (example[name] for name in ("classes", "is_crowd", "area", "difficult"))
    return Groundtruth(boxes_xywh, *columns)


def _to_xywh(boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int32]) -> Found:
    return Found(yxyx_to_xywh(boxes.astype(np.float64)), classes, scores.astype(np.float64))


def _check_image(example: Example) -> None:
    """Raises DataError when the image cannot be decoded."""
    try:
        decode_image(tf.constant(example["image_bytes"]))
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        image_id = example["source_id"].decode()
        raise DataError(
            f"image {image_id}: cannot be decoded ({reason(error)}); make the examples again, which leaves it out"
        ) from error
