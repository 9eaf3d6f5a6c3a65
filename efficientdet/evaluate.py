"""The verb `evaluate`: COCO's numbers of a network over a whole split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.anchors import anchors_for
from efficientdet.boxes import clip, yxyx_to_xywh
from efficientdet.coco_metric import CocoAccumulator, CocoScores, Groundtruth, ImageMatches, match_image
from efficientdet.config import Config
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.letterbox import letterbox
from efficientdet.model.detector import normalise
from efficientdet.model.postprocess import postprocess

BATCH = 8  # images that pass the network together


class Evaluation:
    """Scores a network on every image of a split, the last partial batch included.

    Args:
      model: a network of `build_detector`.
      config: its config.
      num_classes: k, without background.
      pattern: file patterns of example shards.
    """

    def __init__(self, model: keras.Model, config: Config, num_classes: int, pattern: str | Sequence[str]) -> None:
        self._config, self._pattern = config, pattern
        anchors, nms, size = anchors_for(config).boxes, config.nms.to_dict(), config.model.input_size

        @tf.function(input_signature=[tf.TensorSpec([BATCH, *size, 3])])
        def detect(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
            raw = model(normalise(images, config), training=False)
            return postprocess(raw, anchors, num_classes, image_size=size, **nms)

        self._detect = detect

    def __call__(self, between: Callable[[], None] = lambda: None) -> CocoScores:
        """The scores of the network's weights as they are now; boxes are compared in pixels of the original.

        `between` is called after every batch, and ends the evaluation by raising.
        """
        accumulator = CocoAccumulator()
        examples = self._examples()
        while batch := list(islice(examples, BATCH)):
            images = np.stack([example["image"] for example in batch])
            images = np.pad(images, [(0, BATCH - len(batch)), (0, 0), (0, 0), (0, 0)])
            found = zip(*(values.numpy() for values in self._detect(tf.constant(images))), strict=True)
            for example, (boxes, scores, classes, count) in zip(batch, found, strict=False):
                accumulator.add(_match(example, boxes[:count], classes[:count], scores[:count]))
            between()
        return accumulator.compute()

    def _examples(self) -> Iterator[dict[str, Any]]:
        """Every example with its image as the network sees it, and the scale of that."""

        def prepare(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            size, pad = self._config.model.input_size, self._config.model.architecture.mean
            image, scale = letterbox(decode_image(example.pop("image_bytes")), size, pad)
            return {**example, "image": image, "scale": scale}

        examples = read_examples(self._pattern).map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return iter(examples.prefetch(2 * BATCH).as_numpy_iterator())


def _match(example: dict[str, Any], boxes: NDArray, classes: NDArray, scores: NDArray) -> ImageMatches:
    truth = Groundtruth(
        yxyx_to_xywh(example["boxes"].astype(np.float64)), example["classes"], example["is_crowd"], example["area"]
    )
    original = clip(boxes / example["scale"], example["height"], example["width"])
    return match_image(example["source_id"].decode(), truth, yxyx_to_xywh(original.astype(np.float64)), classes, scores)
